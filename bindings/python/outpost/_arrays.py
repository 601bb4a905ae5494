"""numpy on one side, the engine's memory on the other.

bfloat16, float8 and 4- and 2-bit types are those of ml_dtypes when that package is there; without it bfloat16 comes out as
its bits (uint16), float8 as uint8, and the packed types as int8 or uint8 values.
"""
import numpy as np

from outpost import _native

try:
    import ml_dtypes
except ImportError:  # an optional dependency
    ml_dtypes = None

_PLAIN = {"f32": "float32", "f64": "float64", "f16": "float16", "i8": "int8", "i16": "int16", "i32": "int32", "i64": "int64",
          "u8": "uint8", "u16": "uint16", "u32": "uint32", "u64": "uint64", "bool": "bool", "complex64": "complex64",
          "complex128": "complex128"}
_NARROW = {"bf16": "bfloat16", "f8e4m3fn": "float8_e4m3fn", "f8e4m3fnuz": "float8_e4m3fnuz", "f8e5m2": "float8_e5m2",
           "f8e5m2fnuz": "float8_e5m2fnuz", "f8e8m0": "float8_e8m0fnu"}
_PACKED = {"i4": ("int4", 4, True), "u4": ("uint4", 4, False), "i2": ("int2", 2, True), "u2": ("uint2", 2, False),
           "f4e2m1": ("float4_e2m1fn", 4, False)}
_FROM_NUMPY = {long: short for short, long in _PLAIN.items()}
_FROM_NUMPY.update({long: short for short, long in _NARROW.items()})
_FROM_NUMPY.update({long: short for short, (long, _, _) in _PACKED.items()})


def dtype_of(name):
    """The numpy dtype of an engine's ("f32", "bf16", "string", …); None for narrow types without ml_dtypes."""
    if name == "string":
        return np.dtype(object)
    if name in _PLAIN:
        return np.dtype(_PLAIN[name])
    long = _NARROW.get(name) or _PACKED.get(name, (None,))[0]
    return np.dtype(getattr(ml_dtypes, long)) if long and hasattr(ml_dtypes, long) else None


def to_native(value, declared=None, writable=False):
    """An array (or a list, a dict, None) as the engine takes it. `declared` is the engine's dtype that plain Python numbers
    and lists are made into; arrays keep their own."""
    if value is None or isinstance(value, _native.Tensor):
        return value
    if isinstance(value, dict):
        return to_native(np.asarray(list(value))), [to_native(v) for v in value.values()]
    if isinstance(value, (list, tuple)) and value and isinstance(value[0], (np.ndarray, _native.Tensor, dict)):
        return [to_native(v) for v in value]
    if not isinstance(value, (np.ndarray, np.generic)) and hasattr(value, "__dlpack__"):
        return _native.from_dlpack(value)
    if not isinstance(value, (np.ndarray, np.generic)):
        value = np.asarray(value, dtype=dtype_of(declared) if declared else None)
    value = np.asarray(value)
    if value.dtype.kind in "OUS":
        return _native.from_strings(value.ravel().tolist(), value.shape)
    name = _FROM_NUMPY.get(value.dtype.name)
    if name is None:
        raise _native.Error(f"an array of {value.dtype} has no counterpart in the engine")
    if writable and not value.flags.c_contiguous:
        raise _native.Error("an array that is written to must be C-contiguous")
    if not value.dtype.isnative:
        value = value.astype(value.dtype.newbyteorder("="))
    shape = value.shape
    value = np.ascontiguousarray(value)
    if name in _PACKED:
        value = _pack(value.view(np.uint8), _PACKED[name][1])
    elif name in _NARROW:
        value = value.view(np.uint16 if value.itemsize == 2 else np.uint8)
    return _native.from_buffer(value, name, shape, writable)


def to_numpy(value):
    """What the engine gives, as numpy arrays (without a copy), lists, dicts or None."""
    if value is None:
        return None
    if isinstance(value, list):
        return [to_numpy(v) for v in value]
    if isinstance(value, tuple):
        return dict(zip(to_numpy(value[0]).tolist(), map(to_numpy, value[1])))
    if value.dtype == "string":
        array = np.empty(value.shape, dtype=object)
        array.ravel()[:] = value.strings()
        return array
    if value.dtype in _PACKED:
        return _unpack(np.asarray(value), value.dtype, value.shape)
    array = np.asarray(memoryview(value)) if value.shape else np.frombuffer(value, dtype=_PLAIN.get(value.dtype, "u1")).reshape(())
    narrow = dtype_of(value.dtype) if value.dtype in _NARROW else None
    if value.dtype in _NARROW and not value.shape:
        array = np.frombuffer(value, dtype="u2" if value.dtype == "bf16" else "u1").reshape(())
    return array.view(narrow) if narrow is not None else array


def _pack(values, bits):
    each = 8 // bits
    flat = np.zeros(-(-values.size // each) * each, np.uint8)
    flat[:values.size] = values.ravel() & ((1 << bits) - 1)
    packed = np.zeros(flat.size // each, np.uint8)
    for i in range(each):
        packed |= flat[i::each] << (bits * i)
    return packed


def _unpack(packed, dtype, shape):
    _, bits, signed = _PACKED[dtype]
    each = 8 // bits
    count = int(np.prod(shape, dtype=np.int64))
    flat = np.empty(packed.size * each, np.uint8)
    for i in range(each):
        flat[i::each] = packed >> (bits * i) & ((1 << bits) - 1)
    values = flat[:count].reshape(shape)
    if signed:
        values = (values.astype(np.int8) ^ (1 << bits - 1)) - np.int8(1 << bits - 1)
    narrow = dtype_of(dtype)
    if narrow is None:
        return values
    return values.view(narrow) if dtype == "f4e2m1" else values.astype(narrow)
