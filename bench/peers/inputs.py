"""Random inputs for a model: the same for every engine, as .npy and as raw bytes in a scratch folder."""
import dataclasses
import math
import pathlib
import zlib

import numpy as np


@dataclasses.dataclass
class Input:
    name: str
    array: np.ndarray
    folder: pathlib.Path
    index: int

    def shape_text(self) -> str:
        return "x".join(map(str, self.array.shape))

    @property
    def raw(self) -> pathlib.Path:
        path = self.folder / f"input{self.index}.bin"
        if not path.exists():
            np.ascontiguousarray(self.array).tofile(path)
        return path

    @property
    def npy(self) -> pathlib.Path:
        path = self.folder / f"input{self.index}.npy"
        if not path.exists():
            np.save(path, self.array)
        return path


def of_case(case: dict, folder: pathlib.Path) -> list[Input]:
    """The inputs of an entry of cases.json: normal floats, integers within the entry's limits."""
    random = np.random.default_rng(1)
    made = []
    for index, (name, spec) in enumerate(case["inputs"].items()):
        if np.issubdtype(np.dtype(spec["dtype"]), np.integer):
            array = random.integers(spec["low"], spec["high"], spec["shape"]).astype(spec["dtype"])
        else:
            array = random.standard_normal(spec["shape"]).astype(spec["dtype"])
        made.append(Input(name, array, folder, index))
    return made


class TooLarge(Exception):
    """A choice of symbolic dimensions that is not worth trying."""


# What names in the wild ask for: an audio model's sampling rate, a mask that hides nothing.
SPECIAL = {"sr": 16000}
# Models that take pixels of 0 to 255; on noise around zero their scores are so small that only rounding is compared.
PIXELS = ("yunet", "yolox")


def of_model(model, folder: pathlib.Path, symbolic: dict, otherwise: int, integers=(0, 2), source="") -> list[Input]:
    """Inputs of an onnx.ModelProto by its declared types. Symbolic dimensions take `symbolic[name]`, else `otherwise`.

    Integers are within `integers`, by default 0 or 1, safe as indices, lengths and masks alike; 8-bit ones use the
    whole range.
    """
    import onnx

    initialisers = {t.name for t in model.graph.initializer} | {t.values.name for t in model.graph.sparse_initializer}
    made = []
    for index, value in enumerate(v for v in model.graph.input if v.name not in initialisers):
        if not value.type.HasField("tensor_type"):
            raise ValueError(f"input '{value.name}' is not a tensor")
        tensor = value.type.tensor_type
        dims = [d.dim_value if d.HasField("dim_value") and d.dim_value >= 0 else symbolic.get(d.dim_param, otherwise)
                for d in tensor.shape.dim]
        if math.prod(dims) > 10**7:
            raise TooLarge(f"input '{value.name}' would have {math.prod(dims)} elements")
        dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)
        array = random_array(value.name, dtype, dims, integers)
        if any(name in model.graph.name or name in str(source) for name in PIXELS):
            array = (127.5 + 60 * array).clip(0, 255).astype(dtype)
        made.append(Input(value.name, array, folder, index))
    return made


def random_array(name: str, dtype: np.dtype, dims: list[int], integers) -> np.ndarray:
    random = np.random.default_rng(zlib.crc32(name.encode()) + sum(dims))
    if name in SPECIAL:
        return np.full(dims, SPECIAL[name], dtype)
    if dtype == np.bool_:
        return random.integers(0, 2, dims).astype(dtype)
    if np.issubdtype(dtype, np.integer):
        if "mask" in name.lower():
            return np.ones(dims, dtype)
        if dtype.itemsize == 1:
            middle = 0 if dtype == np.int8 else 128
            return random.integers(middle - 64, middle + 64, dims).astype(dtype)
        return random.integers(*integers, dims).astype(dtype)
    if dtype.kind not in "fV" and "float" not in dtype.name:
        raise ValueError(f"input '{name}' has dtype {dtype}")
    return random.standard_normal(dims).astype(dtype)
