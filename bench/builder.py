"""A graph under construction, in the words that exporters write: one method a pattern, values passed as names.

Weights come from one seeded generator in the order of construction, so that a model is the same file every time. Scales
keep activations near unit variance: timings must not meet denormals or infinities, nor comparisons meet zeros.
Nodes have exporter-like names; shapes derived at run time (Shape, Gather, Concat) are spelled out as exporters do.
"""
import math

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 14
INT64_MAX = 2**63 - 1


class Builder:
    def __init__(self, name: str, seed: int = 7):
        self.name = name
        self.random = np.random.default_rng(seed)
        self.nodes, self.weights, self.inputs, self.outputs = [], [], [], []
        self.constants = {}
        self.count = 0

    # Values

    def input(self, name, shape, dtype=TensorProto.FLOAT):
        self.inputs.append(helper.make_tensor_value_info(name, dtype, shape))
        return name

    def output(self, value, name, shape, dtype=TensorProto.FLOAT):
        self.nodes.append(helper.make_node("Identity", [value], [name], name=f"/Identity_{name}"))
        self.outputs.append(helper.make_tensor_value_info(name, dtype, shape))

    def weight(self, array, name=None):
        name = name or f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.asarray(array, order="C"), name))
        return name

    def constant(self, value, dtype=np.int64):
        """A shared small initialiser."""
        array = np.asarray(value, dtype)
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self.constants:
            self.constants[key] = self.weight(array, f"c{len(self.constants)}")
        return self.constants[key]

    def scalar(self, value):
        return self.constant(value, np.float32)

    def normal(self, *shape, scale=1.0, mean=0.0):
        return (self.random.standard_normal(shape, np.float32) * np.float32(scale) + np.float32(mean)).astype(np.float32)

    def op(self, kind, *inputs, outputs=1, **attributes):
        self.count += 1
        names = [f"{kind}_{self.count}_{i}" if outputs > 1 else f"{kind}_{self.count}" for i in range(outputs)]
        self.nodes.append(helper.make_node(kind, list(inputs), names, name=f"/{kind}_{self.count}", **attributes))
        return names if outputs > 1 else names[0]

    # Convolutional patterns

    def conv(self, x, c_in, c_out, kernel, stride=1, group=1, bias=False, gain=2.0, pad=None):
        fan_in = c_in // group * kernel * kernel
        weights = self.normal(c_out, c_in // group, kernel, kernel, scale=math.sqrt(gain / fan_in))
        inputs = [x, self.weight(weights)]
        if bias:
            inputs.append(self.weight(self.normal(c_out, scale=0.1)))
        pad = kernel // 2 if pad is None else pad
        return self.op("Conv", *inputs, kernel_shape=[kernel] * 2, strides=[stride] * 2, pads=[pad] * 4,
                       dilations=[1, 1], group=group)

    def batch_norm(self, x, channels, scale=1.0):
        parameters = [self.normal(channels, scale=0.1, mean=scale), self.normal(channels, scale=0.1),
                      self.normal(channels, scale=0.1), np.abs(self.normal(channels, scale=0.1, mean=1.0))]
        return self.op("BatchNormalization", x, *map(self.weight, parameters), epsilon=1e-5, momentum=0.9)

    def silu(self, x):
        return self.op("Mul", x, self.op("Sigmoid", x))

    def gemm(self, x, n_in, n_out, gain=1.0):
        weights = self.weight(self.normal(n_out, n_in, scale=math.sqrt(gain / n_in)))
        return self.op("Gemm", x, weights, self.weight(self.normal(n_out, scale=0.1)), alpha=1.0, beta=1.0, transB=1)

    # Transformer patterns

    def linear(self, x, n_in, n_out):
        """torch.nn.Linear on rank 3: MatMul by the transposed weights, then Add."""
        weights = self.weight(self.normal(n_in, n_out, scale=1 / math.sqrt(n_in)))
        return self.op("Add", self.weight(self.normal(n_out, scale=0.02)), self.op("MatMul", x, weights))

    def layer_norm(self, x, width, epsilon=1e-12):
        centred = self.op("Sub", x, self.op("ReduceMean", x, axes=[-1], keepdims=1))
        squared = self.op("Pow", centred, self.scalar(2.0))
        variance = self.op("ReduceMean", squared, axes=[-1], keepdims=1)
        deviation = self.op("Sqrt", self.op("Add", variance, self.scalar(epsilon)))
        scaled = self.op("Mul", self.op("Div", centred, deviation), self.weight(self.normal(width, scale=0.1, mean=1.0)))
        return self.op("Add", scaled, self.weight(self.normal(width, scale=0.1)))

    def gelu(self, x):
        erf = self.op("Erf", self.op("Div", x, self.scalar(math.sqrt(2.0))))
        return self.op("Mul", self.op("Mul", x, self.op("Add", erf, self.scalar(1.0))), self.scalar(0.5))

    def dimension(self, x, axis):
        """Shape -> Gather -> Unsqueeze: a dimension as a vector of one."""
        gathered = self.op("Gather", self.op("Shape", x), self.constant(axis), axis=0)
        return self.op("Unsqueeze", gathered, self.constant([0]))

    def reshape(self, x, *dimensions):
        """Reshape to constants and values of `dimension` mixed."""
        if all(isinstance(d, int) for d in dimensions):
            return self.op("Reshape", x, self.constant(list(dimensions)))
        parts = [d if isinstance(d, str) else self.constant([d]) for d in dimensions]
        return self.op("Reshape", x, self.op("Concat", *parts, axis=0))

    def transpose(self, x, *perm):
        return self.op("Transpose", x, perm=list(perm))

    def save(self, path):
        graph = helper.make_graph(self.nodes, self.name, self.inputs, self.outputs, self.weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8,
                                  producer_name="outpost bench/models.py")
        onnx.checker.check_model(model, full_check=True)
        onnx.save(model, path)
