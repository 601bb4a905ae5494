#!/usr/bin/env python3
"""What bf16 products cost trained models: their own task's metric with --precision f32 and bf16.

  OUTPOST_TEST_DATA=... bench/bf16_accuracy.py [--outpost build/outpost] [--digits 1000]

Digits: mnist-cntk on test images. Gestures: the key-point head on recorded hands. Faces: yunet on photographs, the
anchors whose score passes 0.5 in both precisions, and the largest difference of a score.
"""
import argparse
import csv
import gzip
import os
import pathlib
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "peers"))
import environment  # noqa: E402

environment.ensure()
import numpy as np  # noqa: E402
import onnx  # noqa: E402

DATA = pathlib.Path(os.environ.get("OUTPOST_TEST_DATA") or sys.exit("set OUTPOST_TEST_DATA"))
PRECISIONS = ("f32", "bf16")


def run(outpost, model, inputs, precision, folder):
    command = [str(outpost), "run", str(model), "--precision", precision, "-o", str(folder / "out.npz")]
    for name, value in inputs.items():
        if isinstance(value, np.ndarray):
            np.save(folder / "in.npy", value)
            value = folder / "in.npy"
        command += ["--input", f"{name}={value}"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return dict(np.load(folder / "out.npz"))


def input_name(outpost, model):
    graph = onnx.load(str(model)).graph
    constants = {i.name for i in graph.initializer}
    return next(i.name for i in graph.input if i.name not in constants)


def digits(outpost, count, folder):
    base, model = DATA / "datasets/mnist", DATA / "models/mnist-cntk/model.onnx"
    images = np.frombuffer(gzip.open(base / "test5k-images-idx3-ubyte.gz").read(), np.uint8, offset=16)
    labels = np.frombuffer(gzip.open(base / "test5k-labels-idx1-ubyte.gz").read(), np.uint8, offset=8)
    images = images.reshape(-1, 1, 1, 28, 28).astype(np.float32)[:count]
    name = input_name(outpost, model)
    right = {p: 0 for p in PRECISIONS}
    for image, label in zip(images, labels):
        for p in PRECISIONS:
            scores = next(iter(run(outpost, model, {name: image}, p, folder).values()))
            right[p] += int(scores.argmax() == label)
    return {p: 100 * right[p] / len(images) for p in PRECISIONS}


def gestures(outpost, folder):
    model = DATA / "models/gesture-heads/keypoint_classifier.onnx"
    rows = [list(map(float, r)) for r in csv.reader(open(DATA / "gestures/keypoint_70.csv"))]
    x, y = np.array([r[1:] for r in rows], np.float32), np.array([r[0] for r in rows])
    name = input_name(outpost, model)
    found = {}
    for p in PRECISIONS:
        classes = next(iter(run(outpost, model, {name: x}, p, folder).values()))
        found[p] = 100 * float((classes == y).mean())
    return found


def faces(outpost, folder):
    model, passed, worst = DATA / "models/yunet-n/yunet_n_320_320.onnx", {p: 0 for p in PRECISIONS}, 0.0
    name = input_name(outpost, model)
    for photo in sorted((DATA / "vision/photos").glob("*.*g")):
        scores = {}
        for p in PRECISIONS:
            out = run(outpost, model, {name: photo}, p, folder)
            each = [np.sqrt(np.clip(out[f"cls_{s}"] * out[f"obj_{s}"], 0, 1)).ravel() for s in (8, 16, 32)]
            scores[p] = np.concatenate(each)
            passed[p] += int((scores[p] > 0.5).sum())
        worst = max(worst, float(np.abs(scores["f32"] - scores["bf16"]).max()))
    return passed, worst


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--outpost", type=pathlib.Path, default=pathlib.Path(__file__).resolve().parent.parent / "build/outpost")
    parser.add_argument("--digits", type=int, default=1000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        for name, found in (("gestures, % right", gestures(arguments.outpost, folder)),
                            ("digits, % right", digits(arguments.outpost, arguments.digits, folder))):
            print(f"{name:<20} f32 {found['f32']:.2f}  bf16 {found['bf16']:.2f}", flush=True)
        passed, worst = faces(arguments.outpost, folder)
        print(f"faces, anchors > 0.5 f32 {passed['f32']}  bf16 {passed['bf16']}; largest difference of a score {worst:.4f}")


if __name__ == "__main__":
    main()
