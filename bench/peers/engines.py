"""The two engines as commands: each measurement is one process, so that neither sees the other's threads, caches or
heap.

`measure` returns the JSON object of one thread count (the form of `outpost bench --json`). Both engines get the inputs of
`inputs.py`; ONNX Runtime is called by ort_bench.c through the C API of the installed wheel, without Python.
"""
import importlib.util
import json
import pathlib
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
BUILT = HERE.parent / "out/tools"


def compiled(source: str, *flags: str) -> pathlib.Path:
    """A C program of this folder, compiled once."""
    program, path = BUILT / pathlib.Path(source).stem, HERE / source
    if not program.exists() or program.stat().st_mtime < path.stat().st_mtime:
        BUILT.mkdir(parents=True, exist_ok=True)
        compiler = shutil.which("cc") or shutil.which("gcc") or sys.exit("no C compiler")
        subprocess.run([compiler, "-O3", "-Wall", path, "-o", program, *flags, "-ldl"], check=True)
    return program


def compiled_against_outpost(source: str, build: pathlib.Path) -> pathlib.Path:
    """A C++ program of this folder, linked with the library of a build folder."""
    library = next(build.rglob("liboutpost.a"), None) or sys.exit(f"no liboutpost.a in {build}; build it first (./run)")
    program, path = BUILT / pathlib.Path(source).stem, HERE / source
    if not program.exists() or program.stat().st_mtime < max(path.stat().st_mtime, library.stat().st_mtime):
        BUILT.mkdir(parents=True, exist_ok=True)
        subprocess.run(["c++", "-std=c++20", "-O2", "-I", ROOT / "include", path, library, "-o", program,
                        "-Wl,--gc-sections", "-pthread"], check=True)
    return program


def peak_gflops() -> float:
    program = compiled("peak.c", "-march=native", "-ffp-contract=fast")
    return float(subprocess.run([program], check=True, capture_output=True, text=True).stdout)


def output_of(command) -> str:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}".strip())
    return done.stdout


class OnnxRuntime:
    name = "ONNX Runtime"

    def __init__(self):
        package = pathlib.Path(importlib.util.find_spec("onnxruntime").origin).parent
        found = sorted((package / "capi").glob("libonnxruntime.so.*"))
        self.library = found[0] if found else sys.exit(f"no libonnxruntime.so in {package}/capi")
        self.program = compiled("ort_bench.c")

    def command(self, model, inputs, threads, runs, *options, dims=None):
        """`dims`: shapes by input name, as text, instead of those of the arrays."""
        described = [f"{i.name}:{i.array.dtype}:{(dims or {}).get(i.name) or i.shape_text()}:{i.raw}" for i in inputs]
        return [self.program, self.library, model, threads, runs, *options, *described]

    def measure(self, model, inputs, threads, runs):
        return json.loads(output_of(self.command(model, inputs, threads, runs)))


class Outpost:
    name = "Outpost"

    def __init__(self, program: pathlib.Path, *options: str):
        self.program, self.options = program, options
        if not program.exists():
            sys.exit(f"no {program}; build it first (./run), or use --ort-only")

    def measure(self, model, inputs, threads, runs):
        shapes = [f"--shape={i.name}={i.shape_text()}" for i in inputs]
        text = output_of([self.program, "bench", model, "--threads", threads, "--runs", runs, *shapes, *self.options,
                          "--json"])
        return json.loads(text)[0]
