"""Outpost: runs ONNX models.

    import outpost
    session = outpost.Session("mobilenet.onnx", threads=4)
    outputs = session(image=pixels)          # numpy arrays by name
    scores = outputs["scores"]

Contiguous numpy arrays and anything with DLPack (torch tensors, …) are used where they lie; results are numpy arrays on the
engine's own memory. The interpreter lock is released while a model loads or runs, and several threads may run one session,
each with a State of its own where the model keeps one. Mistakes raise outpost.Error, whose `code` says which kind.
"""
from outpost._arrays import dtype_of, to_native, to_numpy
from outpost._native import Error, State, Tensor, version as __version__
from outpost._session import Bound, Session, Value

__all__ = ["Bound", "Error", "Session", "State", "Tensor", "Value", "dtype_of", "to_native", "to_numpy", "__version__"]
