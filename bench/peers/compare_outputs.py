#!/usr/bin/env python3
"""Runs models on ONNX Runtime and on Outpost with the same random inputs and compares every output.

  bench/peers/compare_outputs.py MODEL_OR_FOLDER... [--bar 1e-4] [--json FILE] [--verbose]

The error is max|a-b| / max|b|, b being ONNX Runtime's without graph optimisation. Graphs that compute in 16 bits get a
bar of their rounding, 8-bit outputs one step, other integers and bools none. Symbolic dimensions take small values, the first choice
that ONNX Runtime accepts; a model that it cannot run, or runs differently each time (dropout), is skipped with the
reason.
"""
import argparse
import itertools
import json
import pathlib
import subprocess
import sys
import tempfile

import environment

environment.ensure()
import engines  # noqa: E402
import inputs  # noqa: E402
import numpy as np  # noqa: E402
import onnx  # noqa: E402
import onnxruntime  # noqa: E402

# Values for symbolic dimensions, tried in turn: names first, then what the rest get.
NAMED = {"batch": 2, "batch_size": 2, "N": 2, "seq_len": 3, "past_seq_len": 4, "total_seq_len": 7,
         "height": 64, "width": 96, "H": 64, "W": 96}
CHOICES = [(NAMED, 4), ({}, 1), ({}, 2), ({}, 8), ({}, 64), ({"batch": 1, "batch_size": 1}, 512), ({}, 30), ({}, 320)]
INTEGERS = [(0, 2), (0, 1), (1, 2)]  # half-open ranges, tried in turn: an index in a table of one row, a divisor


class Skip(Exception):
    pass


def sessions(path):
    """Without optimisation, or, where a kernel exists only for the optimised form, with it."""
    for level in ("ORT_DISABLE_ALL", "ORT_ENABLE_ALL"):
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        options.intra_op_num_threads = 1
        options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, level)
        try:
            yield onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # noqa: BLE001: the binding raises what it likes
            yield error


def reference(path, model, folder):
    """(inputs, {output name: array}) of the first choice of dimensions that ONNX Runtime runs."""
    reason = "ONNX Runtime cannot run it"
    for session in sessions(path):
        if isinstance(session, Exception):
            reason = f"ONNX Runtime cannot open it: {session}"
            continue
        for (symbolic, otherwise), integers in itertools.product(CHOICES, INTEGERS):
            try:
                data = inputs.of_model(model, folder, symbolic, otherwise, integers, path)
                feed = {i.name: i.array for i in data}
                names = [o.name for o in session.get_outputs()]
                first, second = session.run(names, feed), session.run(names, feed)
            except ValueError as error:
                raise Skip(str(error)) from error
            except Exception as error:  # noqa: BLE001
                reason = f"ONNX Runtime cannot run it: {error}"
                continue
            if not all(isinstance(a, np.ndarray) for a in first):
                raise Skip("an output is not a tensor")
            if not all(np.array_equal(a, b, equal_nan=a.dtype.kind == "f") for a, b in zip(first, second)):
                raise Skip("ONNX Runtime's outputs differ between two runs")
            return data, dict(zip(names, first))
    raise Skip(reason)


def outpost_outputs(program, path, data, names, folder):
    files = {name: folder / f"output{index}.npy" for index, name in enumerate(names)}
    command = [program, "run", path]
    for i in data:
        command += ["--input", f"{i.name}={i.npy}"]
    for name, file in files.items():
        command += ["--output", f"{name}={file}"]
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=300)
    if done.returncode != 0:
        raise RuntimeError(" ".join((done.stderr or done.stdout).split())[:300] or f"status {done.returncode}")
    return {name: np.load(file) for name, file in files.items()}


# Graphs that are not comparable, and why.
KNOWN = {
    "skip_layer_norm_no_beta_with_cast.onnx": "ill-typed: LayerNormalization of f16 with f32 scale, declared to give f32",
}


def error_of(ours, theirs):
    """max|a-b| and max|b|; infinite where non-finite elements differ."""
    if ours.dtype == "V2":  # bfloat16 as .npy has it
        ours = ours.view(theirs.dtype)
    if ours.shape != theirs.shape or ours.dtype != theirs.dtype:
        raise RuntimeError(f"{ours.dtype}{list(ours.shape)} where it should be {theirs.dtype}{list(theirs.shape)}")
    if theirs.size == 0:
        return 0.0, 1.0
    if theirs.dtype.kind not in "fiu":
        return (0.0 if np.array_equal(ours, theirs) else np.inf), 1.0
    a, b = ours.astype(np.float64), theirs.astype(np.float64)
    finite = np.isfinite(b)
    if not np.array_equal(a[~finite], b[~finite], equal_nan=True) or not np.isfinite(a[finite]).all():
        return np.inf, 1.0
    return float(np.abs(a - b)[finite].max(initial=0)), float(np.abs(b[finite]).max(initial=0))


def within(ours, theirs, bar, half):
    """`half`: the graph computes in 16 bits somewhere; ONNX Runtime rounds to them less often than the graph says."""
    difference, scale = error_of(ours, theirs)
    if theirs.dtype.kind != "f":
        return difference <= (1 if theirs.dtype in (np.uint8, np.int8) else 0)
    if half and np.isfinite(difference) and theirs.size:  # the root mean square: single elements may be ill-conditioned
        difference = np.sqrt(np.mean((ours.astype(np.float64) - theirs.astype(np.float64)) ** 2))
        return difference <= 5e-3 * scale + 2**-21
    return difference <= bar * scale


def computes_in_half(model):
    half = onnx.TensorProto.FLOAT16
    values = [*model.graph.input, *model.graph.value_info, *model.graph.output]
    return (any(v.type.tensor_type.elem_type == half for v in values)
            or any(t.data_type == half for t in model.graph.initializer)
            or any(a.name == "to" and a.i == half for n in model.graph.node for a in n.attribute))


def compare(program, path, bar):
    """(passed, relative error, text)"""
    if path.name in KNOWN:
        raise Skip(KNOWN[path.name])
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(scratch)
        model = onnx.load(path, load_external_data=False)
        data, theirs = reference(path, model, folder)
        shapes = " ".join(f"{i.name}:{i.shape_text() or 'scalar'}" for i in data)
        try:
            ours = outpost_outputs(program, path, data, list(theirs), folder)
            errors = {name: relative(*error_of(ours[name], theirs[name])) for name in theirs}
            half = computes_in_half(model)
            wrong = [name for name in theirs if not within(ours[name], theirs[name], bar, half)]
        except (RuntimeError, OSError, ValueError, subprocess.TimeoutExpired) as error:
            return False, np.inf, f"{error} [{shapes}]"
    worst = max(errors, key=errors.get)
    detail = f"{errors[worst]:.1e} ({worst}) [{shapes}]"
    return not wrong, errors[worst], detail if not wrong else f"{detail}; over the bar: {', '.join(wrong)}"


def relative(difference, scale):
    return difference / (scale or 1.0)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", nargs="+", type=pathlib.Path)
    parser.add_argument("--bar", type=float, default=1e-4)
    parser.add_argument("--outpost", type=pathlib.Path, default=engines.ROOT / "build/outpost")
    parser.add_argument("--json", type=pathlib.Path)
    parser.add_argument("--verbose", action="store_true", help="also a line for what passed")
    arguments = parser.parse_args()
    models = [m for p in arguments.paths for m in (sorted(p.rglob("*.onnx")) if p.is_dir() else [p])]
    results = []
    for path in models:
        try:
            passed, error, text = compare(arguments.outpost, path, arguments.bar)
            outcome = "passed" if passed else "failed"
        except Skip as reason:
            outcome, error, text = "skipped", None, " ".join(str(reason).split())[:200]
        results.append({"model": str(path), "outcome": outcome, "error": error, "text": text})
        if outcome != "passed" or arguments.verbose:
            print(f"{outcome}: {path}: {text}", flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1))
    counts = [sum(r["outcome"] == o for r in results) for o in ("passed", "failed", "skipped")]
    print("{} passed, {} failed, {} skipped".format(*counts))
    return 1 if counts[1] else 0


if __name__ == "__main__":
    sys.exit(main())
