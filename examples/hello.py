"""hello.py MODEL.onnx: what a model takes, one run on zeros, the arrays that come out."""
import sys

import numpy as np
import outpost

session = outpost.Session(sys.argv[1], threads=2)
print(session)
zeros = {v.name: np.zeros([d if isinstance(d, int) else 1 for d in v.shape], outpost.dtype_of(v.dtype)) for v in session.inputs}
for name, array in session(**zeros).items():
    print(name, array.dtype, array.shape)
