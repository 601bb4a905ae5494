#!/usr/bin/env python3
"""One session run thousands of times at random lengths of 1 to 512: does memory stay flat, and do new shapes cost time?

  bench/peers/soak.py [--model bench/out/minilm-l6.onnx] [--runs 10000] [--engines outpost,onnxruntime] [--json FILE]

Both engines get the same sequence of lengths. Each run's CPU time is divided by the engine's own time at that length
when every run has it (medians at a grid of lengths, straight lines between); the bar for the 99th percentile is 1.5.
Resident memory is read after each twentieth of the runs; the bar is none growing by more than 2 % after the first.
"""
import argparse
import json
import pathlib
import sys
import tempfile

import environment

environment.ensure()
import engines  # noqa: E402
import inputs  # noqa: E402
import numpy as np  # noqa: E402
import onnx  # noqa: E402

GRID = [1, 8, 16, 32, 48, 64, 96, 128, 192, 256, 320, 384, 448, 512]


def described(data):
    """The inputs with their second dimension, the sequence, left open."""
    return [f"{i.name}:{i.array.dtype}:{'x'.join(['1', 'S', *map(str, i.array.shape[2:])])}:{i.raw}" for i in data]


def commands(name, build):
    """A function (model, threads, runs, seed, inputs) -> command."""
    if name == "outpost":
        program = engines.compiled_against_outpost("outpost_soak.cpp", build)
        return lambda model, threads, runs, seed, data: [program, model, threads, runs, seed, *described(data)]
    theirs = engines.OnnxRuntime()
    return lambda model, threads, runs, seed, data: [
        theirs.program, theirs.library, model, threads, runs, "--soak", seed, *described(data)]


def record(command):
    resident, runs, last = engines.output_of(command).strip().split("\n")
    table = np.array(runs.split(), float).reshape(-1, 3)
    return np.array(resident.split(), float), table[:, 0], table[:, 2], json.loads(last)


def soak(name, arguments, data):
    command = commands(name, arguments.build)
    fixed = [np.median(record(command(arguments.model, 1, 20, f"={length}", data))[2]) for length in GRID]
    resident, lengths, cpu, last = record(command(arguments.model, 1, arguments.runs, "7", data))
    ratio = cpu / np.interp(lengths, GRID, fixed)
    return {"engine": name, "runs": arguments.runs, "resident_bytes": resident.tolist(),
            "growth_percent": 100 * (resident[2:].max() / resident[1] - 1),
            "ratio": {str(p): float(np.percentile(ratio, p)) for p in (50, 90, 99, 100)},
            "peak_memory_bytes": last["peak_memory_bytes"], "fixed_ms": dict(zip(map(str, GRID), fixed))}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=pathlib.Path, default=engines.HERE.parent / "out/minilm-l6.onnx")
    parser.add_argument("--build", type=pathlib.Path, default=engines.ROOT / "build")
    parser.add_argument("--runs", type=int, default=10000)
    parser.add_argument("--engines", default="outpost,onnxruntime")
    parser.add_argument("--json", type=pathlib.Path)
    arguments = parser.parse_args()
    if arguments.runs < 20:
        parser.error("a soak is at least 20 runs")
    results = []
    with tempfile.TemporaryDirectory() as folder:
        model = onnx.load(arguments.model, load_external_data=False)
        data = inputs.of_model(model, pathlib.Path(folder), {"batch": 1}, 512)
        for name in arguments.engines.split(","):
            result = soak(name, arguments, data)
            results.append(result)
            first, last = result["resident_bytes"][1] / 1e6, result["resident_bytes"][-1] / 1e6
            ratio = result["ratio"]
            print(f"{name:<12} resident {first:.0f} MB after {arguments.runs // 20} runs, {last:.0f} MB at the end "
                  f"({result['growth_percent']:+.1f} % at most); time by the fixed-shape time: median {ratio['50']:.2f}, "
                  f"p99 {ratio['99']:.2f}, max {ratio['100']:.2f}", flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1))
    ours = [r for r in results if r["engine"] == "outpost"]
    return 1 if any(r["growth_percent"] > 2 or r["ratio"]["99"] > 1.5 for r in ours) else 0


if __name__ == "__main__":
    sys.exit(main())
