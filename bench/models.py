#!/usr/bin/env python3
"""Builds the models that Outpost and its peers are timed on: real architectures, random weights, a fixed seed.

Each has the patterns that exporters write (BatchNorm unfolded; LayerNorm, Gelu and SiLU decomposed; attention from
MatMul, Softmax and Transpose with reshapes computed at run time), so that an engine is measured with the rewriting it
must do. `bench/models.py FOLDER [NAME...]` writes FOLDER/NAME.onnx and FOLDER/cases.json: what each is run on, and its
flops (two a multiply-add, matrix products and convolutions only). int8 versions need onnxruntime.
"""
import argparse
import json
import pathlib
import sys

sys.path.insert(1, str(pathlib.Path(__file__).resolve().parent / "peers"))
import environment  # noqa: E402

environment.ensure()
from onnx import TensorProto  # noqa: E402

from builder import Builder  # noqa: E402


def resnet50(path):
    """He et al. 2015, v1.5 (the stride in the 3x3)."""
    b = Builder("resnet50")
    x = b.input("input", ["batch", 3, 224, 224])
    x = b.op("Relu", b.batch_norm(b.conv(x, 3, 64, 7, 2), 64))
    x = b.op("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4, ceil_mode=0)
    channels = 64
    for stage, (width, blocks) in enumerate([(64, 3), (128, 4), (256, 6), (512, 3)]):
        for block in range(blocks):
            stride = 2 if stage > 0 and block == 0 else 1
            y = b.op("Relu", b.batch_norm(b.conv(x, channels, width, 1), width))
            y = b.op("Relu", b.batch_norm(b.conv(y, width, width, 3, stride), width))
            y = b.batch_norm(b.conv(y, width, width * 4, 1, gain=1.0), width * 4, scale=0.5)
            if block == 0:
                x = b.batch_norm(b.conv(x, channels, width * 4, 1, stride, gain=1.0), width * 4)
            x = b.op("Relu", b.op("Add", y, x))
            channels = width * 4
    x = b.op("Flatten", b.op("GlobalAveragePool", x), axis=1)
    b.output(b.gemm(x, 2048, 1000, gain=0.2), "output", ["batch", 1000])
    b.save(path)


def mobilenetv2(path):
    """Sandler et al. 2018."""
    b = Builder("mobilenetv2")

    def block(x, c_in, c_out, kernel, stride=1, group=1):
        x = b.batch_norm(b.conv(x, c_in, c_out, kernel, stride, group), c_out)
        return b.op("Clip", x, b.scalar(0.0), b.scalar(6.0))

    x = block(b.input("input", ["batch", 3, 224, 224]), 3, 32, 3, 2)
    channels = 32
    for expansion, width, blocks, first_stride in [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2),
                                                   (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)]:
        for i in range(blocks):
            stride, hidden = first_stride if i == 0 else 1, channels * expansion
            y = block(x, channels, hidden, 1) if expansion > 1 else x
            y = block(y, hidden, hidden, 3, stride, group=hidden)
            y = b.batch_norm(b.conv(y, hidden, width, 1, gain=1.0), width, scale=0.7)
            x = b.op("Add", x, y) if stride == 1 and channels == width else y
            channels = width
    x = b.op("Flatten", b.op("GlobalAveragePool", block(x, 320, 1280, 1)), axis=1)
    b.output(b.gemm(x, 1280, 1000), "output", ["batch", 1000])
    b.save(path)


def yolov8n(path):
    """The shape of Ultralytics' YOLOv8n at 640: C2f, SPPF, a top-down and a bottom-up path, a head with DFL."""
    b = Builder("yolov8n")

    def cbs(x, c_in, c_out, kernel=1, stride=1):
        return b.silu(b.conv(x, c_in, c_out, kernel, stride, bias=True, gain=2.6))

    def c2f(x, c_in, c_out, blocks, shortcut):
        half = c_out // 2
        parts = b.op("Split", cbs(x, c_in, c_out), b.constant([half, half]), outputs=2, axis=1)
        for _ in range(blocks):
            y = cbs(cbs(parts[-1], half, half, 3), half, half, 3)
            parts.append(b.op("Add", parts[-1], y) if shortcut else y)
        return cbs(b.op("Concat", *parts, axis=1), half * (2 + blocks), c_out)

    def sppf(x, channels):
        parts = [cbs(x, channels, channels // 2)]
        for _ in range(3):
            parts.append(b.op("MaxPool", parts[-1], kernel_shape=[5, 5], strides=[1, 1], pads=[2] * 4, ceil_mode=0))
        return cbs(b.op("Concat", *parts, axis=1), channels * 2, channels)

    def up(x):
        return b.op("Resize", x, "", b.constant([1, 1, 2, 2], "f4"), mode="nearest", nearest_mode="floor",
                    coordinate_transformation_mode="asymmetric")

    x = cbs(b.input("images", [1, 3, 640, 640]), 3, 16, 3, 2)
    x = c2f(cbs(x, 16, 32, 3, 2), 32, 32, 1, True)
    p3 = c2f(cbs(x, 32, 64, 3, 2), 64, 64, 2, True)
    p4 = c2f(cbs(p3, 64, 128, 3, 2), 128, 128, 2, True)
    p5 = sppf(c2f(cbs(p4, 128, 256, 3, 2), 256, 256, 1, True), 256)
    n4 = c2f(b.op("Concat", up(p5), p4, axis=1), 384, 128, 1, False)
    n3 = c2f(b.op("Concat", up(n4), p3, axis=1), 192, 64, 1, False)
    n4 = c2f(b.op("Concat", cbs(n3, 64, 64, 3, 2), n4, axis=1), 192, 128, 1, False)
    n5 = c2f(b.op("Concat", cbs(n4, 128, 128, 3, 2), p5, axis=1), 384, 256, 1, False)

    levels = []
    for x, channels, side in [(n3, 64, 80), (n4, 128, 40), (n5, 256, 20)]:
        box = b.conv(cbs(cbs(x, channels, 64, 3), 64, 64, 3), 64, 64, 1, bias=True)
        score = b.conv(cbs(cbs(x, channels, 80, 3), 80, 80, 3), 80, 80, 1, bias=True)
        levels.append(b.reshape(b.op("Concat", box, score, axis=1), 1, 144, side * side))
    box, score = b.op("Split", b.op("Concat", *levels, axis=2), b.constant([64, 80]), outputs=2, axis=1)
    box = yolo_boxes(b, box)
    b.output(b.op("Concat", box, b.op("Sigmoid", score), axis=1), "output0", [1, 84, 8400])
    b.save(path)


def yolo_boxes(b, box):
    """Distribution focal loss decoded: the expectation over 16 bins of each side, then centre and size in pixels."""
    anchors, strides = [], []
    for side, stride in [(80, 8), (40, 16), (20, 32)]:
        anchors += [((i % side) + 0.5, (i // side) + 0.5) for i in range(side * side)]
        strides += [stride] * (side * side)
    box = b.op("Softmax", b.transpose(b.reshape(box, 1, 4, 16, 8400), 0, 2, 1, 3), axis=1)
    bins = b.constant([[[[float(i)]] for i in range(16)]], "f4")
    box = b.reshape(b.op("Conv", box, bins, kernel_shape=[1, 1], strides=[1, 1], pads=[0] * 4, group=1,
                         dilations=[1, 1]), 1, 4, 8400)
    near = b.op("Slice", box, b.constant([0]), b.constant([2]), b.constant([1]))
    far = b.op("Slice", box, b.constant([2]), b.constant([4]), b.constant([1]))
    points = b.constant([[[p[0] for p in anchors], [p[1] for p in anchors]]], "f4")
    near, far = b.op("Sub", points, near), b.op("Add", points, far)
    centre = b.op("Div", b.op("Add", near, far), b.scalar(2.0))
    return b.op("Mul", b.op("Concat", centre, b.op("Sub", far, near), axis=1), b.constant([strides], "f4"))


def bert(path, name, width, layers, heads, vocabulary=30522):
    """Devlin et al. 2018 as transformers exports it, batch and sequence dynamic."""
    b = Builder(name)
    ids, mask, types = (b.input(n, ["batch", "sequence"], TensorProto.INT64)
                        for n in ("input_ids", "attention_mask", "token_type_ids"))
    mask = b.op("Unsqueeze", b.op("Unsqueeze", mask, b.constant([1])), b.constant([2]))
    mask = b.op("Mul", b.op("Sub", b.scalar(1.0), b.op("Cast", mask, to=TensorProto.FLOAT)), b.scalar(-3.4028235e38))
    words = b.op("Gather", b.weight(b.normal(vocabulary, width)), ids)
    kinds = b.op("Gather", b.weight(b.normal(2, width)), types)
    positions = b.op("Slice", b.constant([list(range(512))]), b.constant([0]), b.dimension(ids, 1), b.constant([1]))
    positions = b.op("Gather", b.weight(b.normal(512, width)), positions)
    x = b.layer_norm(b.op("Add", b.op("Add", words, kinds), positions), width)
    for _ in range(layers):
        x = b.layer_norm(b.op("Add", bert_attention(b, x, mask, width, heads), x), width)
        y = b.linear(b.gelu(b.linear(x, width, 4 * width)), 4 * width, width)
        x = b.layer_norm(b.op("Add", y, x), width)
    b.output(x, "last_hidden_state", ["batch", "sequence", width])
    b.save(path)


def bert_attention(b, x, mask, width, heads):
    def split(y, *perm):
        return b.transpose(b.reshape(y, b.dimension(y, 0), b.dimension(y, 1), heads, width // heads), *perm)

    query, key, value = (b.linear(x, width, width) for _ in range(3))
    query, key, value = split(query, 0, 2, 1, 3), split(key, 0, 2, 3, 1), split(value, 0, 2, 1, 3)
    scores = b.op("Div", b.op("MatMul", query, key), b.scalar((width / heads) ** 0.5))
    weights = b.op("Softmax", b.op("Add", scores, mask), axis=-1)
    y = b.transpose(b.op("MatMul", weights, value), 0, 2, 1, 3)
    y = b.reshape(y, b.dimension(y, 0), b.dimension(y, 1), width)
    return b.linear(y, width, width)


def vit_tiny(path, width=192, layers=12, heads=3):
    """Dosovitskiy et al. 2020 / DeiT-tiny as timm exports it: pre-norm, one matrix for query, key and value."""
    b = Builder("vit-tiny")
    x = b.input("input", ["batch", 3, 224, 224])
    batch = b.dimension(x, 0)
    x = b.conv(x, 3, width, 16, 16, bias=True, pad=0, gain=1.0)
    x = b.transpose(b.reshape(x, batch, width, 196), 0, 2, 1)
    token = b.op("Expand", b.weight(b.normal(1, 1, width)),
                 b.op("Concat", batch, b.constant([1]), b.constant([width]), axis=0))
    x = b.op("Add", b.op("Concat", token, x, axis=1), b.weight(b.normal(1, 197, width, scale=0.2)))
    for _ in range(layers):
        y = b.linear(b.layer_norm(x, width, 1e-6), width, 3 * width)
        y = b.reshape(y, b.dimension(y, 0), b.dimension(y, 1), 3, heads, width // heads)
        y = b.transpose(y, 2, 0, 3, 1, 4)
        query, key, value = (b.op("Gather", y, b.constant(i), axis=0) for i in range(3))
        scores = b.op("MatMul", query, b.transpose(key, 0, 1, 3, 2))
        weights = b.op("Softmax", b.op("Mul", scores, b.scalar((width / heads) ** -0.5)), axis=-1)
        y = b.transpose(b.op("MatMul", weights, value), 0, 2, 1, 3)
        y = b.linear(b.reshape(y, b.dimension(y, 0), b.dimension(y, 1), width), width, width)
        x = b.op("Add", x, y)
        y = b.gelu(b.linear(b.layer_norm(x, width, 1e-6), width, 4 * width))
        x = b.op("Add", x, b.linear(y, 4 * width, width))
    x = b.op("Gather", b.layer_norm(x, width, 1e-6), b.constant(0), axis=1)
    b.output(b.gemm(x, width, 1000), "output", ["batch", 1000])
    b.save(path)


def recurrent(path, kind, gates, layers=2, width=256, features=80):
    b = Builder(kind.lower())
    x = b.input("input", ["time", "batch", features])
    for layer in range(layers):
        n_in = features if layer == 0 else width
        parameters = [b.normal(1, gates * width, n_in, scale=n_in**-0.5), b.normal(1, gates * width, width, scale=0.06),
                      b.normal(1, 2 * gates * width, scale=0.1)]
        extra = {"linear_before_reset": 1} if kind == "GRU" else {}
        y = b.op(kind, x, *map(b.weight, parameters), outputs=2, hidden_size=width, **extra)[0]
        x = b.op("Squeeze", y, b.constant([1]))
    b.output(x, "output", ["time", "batch", width])
    b.save(path)


def mlp(path):
    b = Builder("mlp")
    x = b.input("input", [1, 784])
    x = b.op("Relu", b.gemm(x, 784, 128))
    x = b.op("Relu", b.gemm(x, 128, 64))
    b.output(b.gemm(x, 64, 10), "output", [1, 10])
    b.save(path)


def conv_tiny(path):
    b = Builder("conv-tiny")
    x = b.op("Relu", b.conv(b.input("input", [1, 1, 28, 28]), 1, 8, 3, bias=True))
    x = b.op("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
    x = b.op("Relu", b.conv(x, 8, 16, 3, bias=True))
    x = b.op("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
    b.output(b.gemm(b.op("Flatten", x, axis=1), 784, 10), "output", [1, 10])
    b.save(path)


def gemm_chain(path):
    b = Builder("gemm-chain")
    x = b.input("input", [1, 32])
    for _ in range(50):
        x = b.op("Relu", b.gemm(x, 32, 32, gain=2.0))
    b.output(x, "output", [1, 32])
    b.save(path)


def add_chain(path):
    b = Builder("add-chain")
    x = b.input("input", [1, 32])
    for _ in range(200):
        x = b.op("Add", x, b.weight(b.normal(1, 32, scale=0.1)))
    b.output(x, "output", [1, 32])
    b.save(path)


def quantised(source, path):
    """Static QDQ: int8 weights a channel, uint8 activations, calibrated on random images; BatchNorm is folded first."""
    from quantise import quantise
    quantise(source, path)


def image(side=224, name="input"):
    return {name: {"dtype": "float32", "shape": [1, 3, side, side]}}


def text(batch, sequence=128):
    def tokens(low, high):
        return {"dtype": "int64", "shape": [batch, sequence], "low": low, "high": high}
    return {"input_ids": tokens(0, 30522), "attention_mask": tokens(1, 2), "token_type_ids": tokens(0, 2)}


def floats(*shape):
    return {"input": {"dtype": "float32", "shape": list(shape)}}


# name: (builder, [(case, GFLOP, inputs)])
MODELS = {
    "resnet50": (resnet50, [("resnet50-224", 8.18, image())]),
    "mobilenetv2": (mobilenetv2, [("mobilenetv2-224", 0.60, image())]),
    "yolov8n": (yolov8n, [("yolov8n-640", 8.74, image(640, "images"))]),
    "bert-base": (lambda p: bert(p, "bert-base", 768, 12, 12),
                  [("bert-base-128-b1", 22.35, text(1)), ("bert-base-128-b8", 178.8, text(8))]),
    "minilm-l6": (lambda p: bert(p, "minilm-l6", 384, 6, 12),
                  [("minilm-l6-128-b1", 2.87, text(1)), ("minilm-l6-128-b8", 22.95, text(8))]),
    "vit-tiny": (vit_tiny, [("vit-tiny-224", 2.51, image())]),
    "lstm": (lambda p: recurrent(p, "LSTM", 4), [("lstm-2x256-t100", 0.17, floats(100, 1, 80))]),
    "gru": (lambda p: recurrent(p, "GRU", 3), [("gru-2x256-t100", 0.13, floats(100, 1, 80))]),
    "mlp": (mlp, [("mlp-784-128-64-10", 0.00022, floats(1, 784))]),
    "conv-tiny": (conv_tiny, [("conv-tiny", 0.00058, floats(1, 1, 28, 28))]),
    "gemm-chain": (gemm_chain, [("50x-gemm32-relu", 0.0001, floats(1, 32))]),
    "add-chain": (add_chain, [("200x-add", 0.0, floats(1, 32))]),
    "resnet50-int8": (lambda p: quantised(p.with_name("resnet50.onnx"), p), [("resnet50-int8-224", 8.18, image())]),
    "mobilenetv2-int8": (lambda p: quantised(p.with_name("mobilenetv2.onnx"), p),
                         [("mobilenetv2-int8-224", 0.60, image())]),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"some of: {' '.join(MODELS)}")
    arguments = parser.parse_args()
    unknown = set(arguments.names) - set(MODELS)
    if unknown:
        parser.error(f"no model {', '.join(sorted(unknown))}; there are {', '.join(MODELS)}")
    arguments.folder.mkdir(parents=True, exist_ok=True)
    for name in arguments.names or MODELS:
        path = arguments.folder / f"{name}.onnx"
        if not path.exists():
            MODELS[name][0](path)
        print(f"{path} {path.stat().st_size / 1e6:.1f} MB", file=sys.stderr)
    cases = [{"name": case, "model": f"{name}.onnx", "gflop": gflop, "inputs": inputs}
             for name, (_, listed) in MODELS.items() for case, gflop, inputs in listed
             if (arguments.folder / f"{name}.onnx").exists()]
    (arguments.folder / "cases.json").write_text(json.dumps(cases, indent=1))


if __name__ == "__main__":
    main()
