"""Makes the packages of requirements.txt importable: by this Python if it has them, else by a virtual environment
beside this file, created on first use (which needs a network), in which the calling script is started again."""
import importlib.util
import os
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent


def ensure():
    if all(importlib.util.find_spec(name) for name in ("numpy", "onnx", "onnxruntime")):
        return
    folder = HERE / ".venv"
    python = folder / "bin/python"
    if not (folder / "complete").exists():
        print(f"creating {folder} with {HERE / 'requirements.txt'}", file=sys.stderr)
        done = subprocess.run([sys.executable, "-m", "venv", "--clear", folder])
        if done.returncode == 0:
            done = subprocess.run([python, "-m", "pip", "install", "--quiet", "-r", HERE / "requirements.txt"])
        if done.returncode != 0:
            sys.exit("could not make the environment; it needs the Debian package python3-venv and a network")
        (folder / "complete").touch()
    elif pathlib.Path(sys.prefix) == folder:
        sys.exit(f"{folder} lacks a package; remove the folder to have it made again")
    os.execv(python, [str(python), *sys.argv])
