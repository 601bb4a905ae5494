#!/usr/bin/env python3
"""ONNX Runtime and Outpost side by side: the same models and inputs, separate processes, alternating rounds.

  bench/peers/run.py                          every case, one and two threads
  bench/peers/run.py --cases resnet,bert --rounds 10 --json out.json
  bench/peers/run.py --ort-only               checks that the models are the work that docs/status.md speaks of

One thread: the least CPU time of the process a run (what other processes steal does not count); below a millisecond,
where that clock is too coarse and interruptions are rare, the least wall time. More threads: wall time. A ratio is
Outpost's time by ONNX Runtime's (below 1: Outpost is faster), of the best times over all rounds; its spread is the
ratio of single rounds, least and greatest. "% of peak" is of this machine's measured multiply-add peak.
"""
import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

import environment

environment.ensure()
import engines  # noqa: E402
import inputs  # noqa: E402


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=pathlib.Path, default=engines.HERE.parent / "out")
    parser.add_argument("--cases", default="", help="comma-separated parts of case names")
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--seconds", type=float, default=1.5, help="of runs a process (at least 6 runs)")
    parser.add_argument("--outpost", type=pathlib.Path, default=engines.ROOT / "build/outpost")
    parser.add_argument("--precision", choices=["f32", "bf16"], default=None)
    parser.add_argument("--ort-only", action="store_true")
    parser.add_argument("--json", type=pathlib.Path)
    return parser.parse_args()


def chosen_cases(arguments):
    if not (arguments.models / "cases.json").exists():
        subprocess.run([sys.executable, engines.HERE.parent / "models.py", arguments.models], check=True)
    wanted = [part for part in arguments.cases.split(",") if part]
    cases = json.loads((arguments.models / "cases.json").read_text())
    return [case for case in cases if not wanted or any(part in case["name"] for part in wanted)]


def rounds_of(case, threads, arguments, both):
    """[{engine: measurement}] a round; who goes first alternates."""
    model = arguments.models / case["model"]
    with tempfile.TemporaryDirectory() as folder:
        data = inputs.of_case(case, pathlib.Path(folder))
        trial = both[0].measure(model, data, threads, 3)
        runs = max(6, min(20000, int(1e3 * arguments.seconds / trial["wall_ms"]["min"])))
        measured = []
        for number in range(arguments.rounds):
            order = both if number % 2 == 0 else both[::-1]
            measured.append({engine.name: engine.measure(model, data, threads, runs) for engine in order})
    return measured


def summary(case, threads, measured, peak):
    """Best times, and of two engines the ratio with its spread."""
    names = list(measured[0])
    short = min(m[names[0]]["wall_ms"]["min"] for m in measured) < 1
    clock = "cpu_ms" if threads == 1 and not short else "wall_ms"
    row = {"case": case["name"], "threads": threads, "clock": clock, "runs": 0, "engines": {}}
    for name in names:
        each = [m[name] for m in measured]
        best = min(e[clock]["min"] for e in each)
        row["runs"] = sum(e["runs"] for e in each)
        row["engines"][name] = {
            "ms": best,
            "median_ms": sorted(e["wall_ms"]["median"] for e in each)[len(each) // 2],
            "percent_of_peak": 100 * case["gflop"] / (best * 1e-3) / peak / threads,
            "open_ms": min(e["open_ms"] for e in each),
            "first_ms": min(e["first_ms"] for e in each),
            "peak_memory_bytes": max(e["peak_memory_bytes"] for e in each)}
    if len(row["engines"]) == 2:
        theirs, ours = engines.OnnxRuntime.name, engines.Outpost.name
        each = sorted(m[ours][clock]["min"] / m[theirs][clock]["min"] for m in measured)
        row["ratio"] = row["engines"][ours]["ms"] / row["engines"][theirs]["ms"]
        row["ratio_spread"] = [each[0], each[-1]]
        row["ratio_median"] = row["engines"][ours]["median_ms"] / row["engines"][theirs]["median_ms"]
    return row


def duration(ms):
    return f"{ms * 1e3:.1f} µs" if ms < 1 else f"{ms:.2f} ms" if ms < 100 else f"{ms:.0f} ms"


def line(row):
    cells = [f"{row['case']:<22} {row['threads']}T"]
    for engine in row["engines"].values():
        cells.append(f"{duration(engine['ms']):>9} {engine['percent_of_peak']:3.0f} %  "
                     f"open {engine['open_ms']:5.0f} ms {engine['peak_memory_bytes'] / 1e6:5.0f} MB")
    if "ratio" in row:
        low, high = row["ratio_spread"]
        cells.append(f"{row['ratio']:5.2f} ({low:.2f}–{high:.2f})")
    return " | ".join(cells)


def main():
    arguments = parse()
    both = [engines.OnnxRuntime()]
    if not arguments.ort_only:
        options = ["--precision", arguments.precision] if arguments.precision else []
        both.append(engines.Outpost(arguments.outpost, *options))
    peak = engines.peak_gflops()
    print(f"f32 peak {peak:.0f} GFLOP/s a core; {arguments.rounds} rounds; "
          f"columns: {', '.join(e.name for e in both)}{', Outpost / ONNX Runtime' if len(both) == 2 else ''}")
    rows, failed = [], False
    for case in chosen_cases(arguments):
        for threads in map(int, arguments.threads.split(",")):
            try:
                rows.append(summary(case, threads, rounds_of(case, threads, arguments, both), peak))
                print(line(rows[-1]), flush=True)
            except RuntimeError as error:
                failed = True
                print(f"{case['name']:<22} {threads}T | failed: {error}", flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps({"peak_gflops": peak, "rows": rows}, indent=1))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
