#!/usr/bin/env python3
"""Writes tests/golden/old_opsets: operators in the versions whose meaning or signature has changed since, as models in
the wild still use them and ONNX Runtime computes them. The conformance suite has almost only the newest versions.

Source: onnx/docs/Changelog.md."""
import pathlib

import numpy as np
from case_writer import Writer
from onnx import TensorProto

random = np.random.default_rng(13)


def normal(*shape):
    return random.standard_normal(shape).astype(np.float32)


def case(w, kind, opset, inputs, outputs=1, name="", **attributes):
    label = f"{kind.lower()}_{opset}{'_' + name if name else ''}"
    w.case(label, kind, inputs, outputs, domain="", standard=opset, **attributes)


def normalised(w):
    x = normal(2, 3, 4)
    for kind in ("Softmax", "LogSoftmax", "Hardmax"):
        for opset in (1, 11):  # flattened around axis, 1 by default
            case(w, kind, opset, {"x": x})
            case(w, kind, opset, {"x": x}, name="axis_2", axis=2)
        case(w, kind, 11, {"x": x}, name="axis_0", axis=0)
        case(w, kind, 11, {"x": x}, name="negative", axis=-1)
    image = normal(2, 3, 4, 4)
    statistics = {"scale": normal(3), "b": normal(3), "mean": normal(3), "var": np.abs(normal(3)) + np.float32(0.5)}
    for opset in (7, 9, 14):
        case(w, "BatchNormalization", opset, {"x": image, **statistics}, epsilon=1e-3)
    case(w, "LRN", 1, {"x": normal(1, 6, 3, 3)}, size=3, alpha=0.01, beta=0.7, bias=1.5)
    case(w, "InstanceNormalization", 6, {"x": image, "scale": normal(3), "b": normal(3)})
    case(w, "GroupNormalization", 18, {"x": normal(1, 4, 3, 3), "scale": normal(2), "b": normal(2)}, num_groups=2)
    case(w, "LpNormalization", 1, {"x": x}, axis=1, p=1)


def attributes_that_became_inputs(w):
    x = normal(2, 3, 4)
    case(w, "Clip", 6, {"x": x}, min=-0.5, max=0.5)
    case(w, "Clip", 6, {"x": x}, name="open", max=0.5)
    case(w, "Slice", 1, {"x": x}, starts=[0, -3], ends=[1, 1000], axes=[0, 2])
    case(w, "Slice", 1, {"x": x}, name="no_axes", starts=[1, 0], ends=[2, 2])
    case(w, "Squeeze", 1, {"x": normal(1, 3, 1)}, axes=[0])
    case(w, "Squeeze", 11, {"x": normal(1, 3, 1)}, name="all")
    case(w, "Unsqueeze", 1, {"x": normal(3, 4)}, axes=[0, 3])
    case(w, "Unsqueeze", 11, {"x": normal(3, 4)}, axes=[-1])
    case(w, "Split", 2, {"x": normal(6, 2)}, 2, axis=0, split=[2, 4])
    case(w, "Split", 11, {"x": normal(6, 2)}, 3, name="even")
    case(w, "Pad", 2, {"x": x}, pads=[0, 1, 0, 0, 0, 2], value=1.5)
    case(w, "Pad", 2, {"x": x}, name="reflect", pads=[0, 1, 0, 0, 1, 2], mode="reflect")
    case(w, "Pad", 2, {"x": x}, name="cut", pads=[0, -1, 0, 0, 0, 1])
    case(w, "TopK", 1, {"x": normal(3, 5)}, 2, k=2, axis=1)
    case(w, "TopK", 10, {"x": normal(3, 5), "k": np.array([3])}, 2, axis=-1)
    case(w, "Upsample", 7, {"x": normal(1, 2, 3, 3)}, scales=[1.0, 1.0, 2.0, 3.0], mode="nearest")
    case(w, "Upsample", 7, {"x": normal(1, 1, 3, 3)}, name="linear", scales=[1.0, 1.0, 2.0, 2.0], mode="linear")
    scales = np.array([1, 1, 2, 1.5], np.float32)
    case(w, "Upsample", 9, {"x": normal(1, 2, 4, 4), "scales": scales}, mode="nearest")
    case(w, "Resize", 10, {"x": normal(1, 2, 4, 4), "scales": scales}, mode="nearest")
    case(w, "Resize", 10, {"x": normal(1, 2, 4, 4), "scales": scales}, name="linear", mode="linear")
    case(w, "Resize", 10, {"x": normal(1, 2, 4, 4), "scales": np.array([1, 1, 0.5, 0.75], np.float32)}, name="down",
         mode="nearest")
    case(w, "Resize", 11, {"x": normal(1, 2, 4, 4), "roi": np.zeros(0, np.float32), "scales": scales}, mode="cubic",
         coordinate_transformation_mode="half_pixel", cubic_coeff_a=-0.5)
    case(w, "Resize", 11, {"x": normal(1, 1, 4, 4), "roi": np.zeros(0, np.float32), "scales": scales}, name="tf_half",
         mode="nearest", coordinate_transformation_mode="tf_half_pixel_for_nn", nearest_mode="floor")
    case(w, "Resize", 13, {"x": normal(1, 1, 4, 4), "roi": None, "scales": None, "sizes": np.array([1, 1, 7, 5])},
         name="align", mode="linear", coordinate_transformation_mode="align_corners")


def reductions(w):
    x = normal(2, 3, 4)
    for kind in ("ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2",
                 "ReduceLogSumExp", "ReduceSumSquare"):
        case(w, kind, 11, {"x": x}, axes=[1], keepdims=0)
        case(w, kind, 11, {"x": x}, name="all")
    case(w, "ReduceLogSum", 11, {"x": np.abs(x) + np.float32(0.1)}, axes=[-1])
    case(w, "ArgMax", 1, {"x": x}, axis=1, keepdims=0)
    case(w, "ArgMin", 11, {"x": x}, axis=-2)


def dropped_or_widened(w):
    x = normal(2, 3, 4)
    case(w, "Dropout", 7, {"x": x}, ratio=0.4)
    case(w, "Dropout", 10, {"x": x}, 2, name="mask", ratio=0.4)
    case(w, "Cast", 6, {"x": x}, to=TensorProto.INT32)
    case(w, "Cast", 9, {"x": np.array(["1.5", "-2", "inf"], dtype=object)}, name="string", to=TensorProto.FLOAT)
    case(w, "Gemm", 7, {"a": normal(2, 3), "b": normal(3, 4), "c": normal(4)}, alpha=0.5, beta=2.0)
    case(w, "Gemm", 9, {"a": normal(3, 2), "b": normal(4, 3), "c": normal(1, 4)}, transA=1, transB=1)
    case(w, "Flatten", 1, {"x": x}, axis=2)
    case(w, "Reshape", 5, {"x": x, "shape": np.array([0, -1])})
    case(w, "Expand", 8, {"x": normal(3, 1), "shape": np.array([2, 1, 4])})
    case(w, "Scatter", 9, {"x": normal(3, 3), "at": np.array([[1, 0, 2]]), "updates": normal(1, 3)}, axis=0)
    case(w, "OneHot", 9, {"x": np.array([0, 2, -1]), "depth": np.array(3), "values": np.array([0, 1], np.float32)})
    case(w, "Where", 9, {"c": np.array([[True], [False]]), "x": normal(2, 3), "y": normal(3)})
    case(w, "MaxPool", 8, {"x": normal(1, 1, 4, 4)}, 2, kernel_shape=[2, 2], strides=[1, 1])
    case(w, "MaxPool", 10, {"x": normal(1, 1, 5, 5)}, kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1,
         dilations=[2, 2])
    case(w, "AveragePool", 7, {"x": normal(1, 1, 5, 5)}, kernel_shape=[3, 3], pads=[1, 1, 1, 1], count_include_pad=1)
    case(w, "AveragePool", 10, {"x": normal(1, 1, 6, 6)}, kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1)
    case(w, "Conv", 1, {"x": normal(1, 2, 5, 5), "w": normal(3, 2, 3, 3)}, auto_pad="SAME_UPPER", strides=[2, 2])
    case(w, "ConvTranspose", 1, {"x": normal(1, 2, 3, 3), "w": normal(2, 3, 3, 3)}, strides=[2, 2], output_shape=[6, 6])
    case(w, "PRelu", 7, {"x": x, "slope": normal(3, 1)})
    for kind in ("Max", "Min", "Sum", "Mean"):
        case(w, kind, 6, {"a": x, "b": normal(2, 3, 4), "c": normal(2, 3, 4)})
    for kind in ("Add", "Mul", "Sub", "Div", "Pow"):
        case(w, kind, 7, {"a": np.abs(x) + np.float32(0.5), "b": normal(3, 1)})
    for kind in ("Greater", "Less", "Equal"):
        case(w, kind, 7, {"a": random.integers(0, 3, (2, 3)).astype(np.int32 if kind == "Equal" else np.float32),
                          "b": random.integers(0, 3, (3,)).astype(np.int32 if kind == "Equal" else np.float32)})
    case(w, "Gather", 1, {"x": x, "at": np.array([[0, 2], [1, 1]])}, axis=1)
    case(w, "DepthToSpace", 1, {"x": normal(1, 8, 2, 2)}, blocksize=2)
    case(w, "Mod", 10, {"a": np.array([-7, 7, 5]), "b": np.array([3, -3, 3])})
    case(w, "CumSum", 11, {"x": x, "axis": np.array(1, np.int32)}, exclusive=1, reverse=1)


def recurrent(w):
    x = normal(3, 2, 4)
    case(w, "LSTM", 7, {"x": x, "w": normal(1, 12, 4), "r": normal(1, 12, 3), "b": normal(1, 24)}, 3, hidden_size=3)
    case(w, "LSTM", 7, {"x": x, "w": normal(2, 12, 4), "r": normal(2, 12, 3), "b": normal(2, 24),
                        "lengths": np.array([3, 2], np.int32), "h": normal(2, 2, 3), "c": normal(2, 2, 3),
                        "p": normal(2, 9)}, 3, name="both", hidden_size=3, direction="bidirectional")
    case(w, "LSTM", 7, {"x": x, "w": normal(1, 12, 4), "r": normal(1, 12, 3)}, 3, name="clip", hidden_size=3, clip=0.3,
         input_forget=1)
    case(w, "GRU", 7, {"x": x, "w": normal(1, 9, 4), "r": normal(1, 9, 3), "b": normal(1, 18)}, 2, hidden_size=3)
    case(w, "GRU", 7, {"x": x, "w": normal(1, 9, 4), "r": normal(1, 9, 3), "b": normal(1, 18)}, 2, name="after",
         hidden_size=3, linear_before_reset=1, direction="reverse")
    case(w, "RNN", 7, {"x": x, "w": normal(1, 3, 4), "r": normal(1, 3, 3), "b": normal(1, 6)}, 2, hidden_size=3,
         activations=["Relu"])


def main():
    writer = Writer(pathlib.Path(__file__).resolve().parent / "old_opsets")
    for family in (normalised, attributes_that_became_inputs, reductions, dropped_or_widened, recurrent):
        family(writer)
    writer.finish()


if __name__ == "__main__":
    main()
