"""Models for the tests: made here byte by byte (protobuf), so that nothing but numpy and pytest is needed."""
import struct

import pytest

F32, U8, I8, I32, I64, STRING, BOOL, F16, F64, BF16, F8E4M3FN, U4, I4 = 1, 2, 3, 6, 7, 8, 9, 10, 11, 16, 17, 21, 22


def varint(n):
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    return bytes(out + bytes([n]))


def field(number, value):
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    if isinstance(value, float):
        return varint(number << 3 | 5) + struct.pack("<f", value)
    value = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(value)) + value


def value_info(name, dtype, dims):
    shape = b"".join(field(1, field(2, d) if isinstance(d, str) else field(1, d)) for d in dims)
    return field(1, name) + field(2, field(1, field(1, dtype) + field(2, shape)))


def node(op, inputs, outputs, attributes=b""):
    return field(1, b"".join(field(1, i) for i in inputs) + b"".join(field(2, o) for o in outputs) + field(4, op) + attributes)


def model(nodes, inputs, outputs, opset=21):
    graph = b"".join(nodes) + field(2, "test") + b"".join(field(11, value_info(*i)) for i in inputs)
    graph += b"".join(field(12, o if isinstance(o, bytes) else value_info(*o)) for o in outputs)
    return field(1, 10) + field(7, graph) + field(8, field(1, "") + field(2, opset)) + field(14, field(1, "author") + field(2, "a test"))


@pytest.fixture
def sums():
    """sum = a + b and twice = sum + sum over f32[n,3]."""
    tensors = [(name, F32, ["n", 3]) for name in ("a", "b", "sum", "twice")]
    return model([node("Add", ["a", "b"], ["sum"]), node("Add", ["sum", "sum"], ["twice"])], tensors[:2], tensors[2:])


@pytest.fixture
def identity():
    """y = x for any dtype: identity(BF16, ["n"])."""
    return lambda dtype, dims=("n",): model([node("Identity", ["x"], ["y"])], [("x", dtype, dims)], [("y", dtype, dims)])


@pytest.fixture
def pair():
    """A sequence of the two inputs."""
    sequence = field(1, "s") + field(2, field(4, field(1, field(1, field(1, F32)))))
    return model([node("SequenceConstruct", ["a", "b"], ["s"])], [("a", F32, [2]), ("b", F32, [1])], [sequence])
