#!/usr/bin/env python3
"""The program from outside: forms that scripts rely on, exit statuses, what goes where. Usage: cli_test.py build/outpost"""
import ast
import json
import pathlib
import struct
import subprocess
import sys
import tempfile
import unittest

PROGRAM = pathlib.Path(sys.argv.pop(1)).resolve()


def npy(shape, values):
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {tuple(shape)}, }}".encode()
    header += b" " * (63 - (len(header) + 10) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + struct.pack(f"<{len(values)}f", *values)


def read_npy(path):
    data = path.read_bytes()
    size, = struct.unpack("<H", data[8:10])
    shape = ast.literal_eval(data[10:10 + size].decode())["shape"]
    return shape, struct.unpack(f"<{(len(data) - 10 - size) // 4}f", data[10 + size:])


class Cli(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder_object = tempfile.TemporaryDirectory()
        cls.folder = pathlib.Path(cls.folder_object.name)
        cls.model = cls.folder / "shapes.onnx"
        done = subprocess.run([PROGRAM, "tour", "--save", cls.model], capture_output=True, text=True, check=True)
        cls.tour = done.stdout
        side = 64  # a light square on dark
        pixels = bytes(200 if 16 <= x < 48 and 16 <= y < 48 else 30 for y in range(side) for x in range(side) for _ in range(3))
        (cls.folder / "square.ppm").write_bytes(b"P6\n64 64\n255\n" + pixels)
        (cls.folder / "x.npy").write_bytes(npy((1, 3, 64, 64), [p / 255 for c in range(3) for p in pixels[c::3]]))
        (cls.folder / "names.txt").write_text("circle\nsquare\ntriangle\ndiamond\n")

    def run_it(self, *arguments, status=0):
        done = subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True, cwd=self.folder)
        self.assertEqual(done.returncode, status, f"{arguments}: {done.stdout}{done.stderr}")
        return done.stdout if status == 0 else done.stderr

    def test_tour_answers_rightly_in_plain_text(self):
        self.assertIn("It sees a triangle; a triangle was drawn.", self.tour)
        self.assertIn("the same bits", self.tour)
        self.assertNotIn("\033", self.tour)

    def test_tour_on_a_model_and_a_photo(self):
        self.assertIn("probabilities: f32[1,4]", self.run_it("tour", self.model, "square.ppm"))

    def test_run_on_a_picture(self):
        self.assertRegex(self.run_it("run", self.model, "square.ppm", "--top", 2, "--labels", "names.txt"), r"^ +\d+\.\d+ %  square\n")

    def test_run_reads_and_writes_arrays(self):
        self.run_it("run", self.model, "--input", "image=x.npy", "--output", "probabilities=p.npy", "--threads", 1)
        shape, p = read_npy(self.folder / "p.npy")
        self.assertEqual(shape, (1, 4))
        self.assertEqual(max(range(4), key=p.__getitem__), 1)
        self.run_it("run", self.model, "--input", "image=x.npy", "--output", "all.json")
        everything = json.loads((self.folder / "all.json").read_text())
        self.assertEqual(everything["edges"]["shape"], [1, 1, 64, 64])
        self.assertEqual(everything["probabilities"]["dtype"], "f32")

    def test_picture_and_array_agree(self):
        for argument in ("square.ppm", "x.npy"):
            self.run_it("run", self.model, "--input", f"image={argument}", "--output", f"probabilities={argument}.out.npy")
        picture, array = (read_npy(self.folder / f"{a}.out.npy")[1] for a in ("square.ppm", "x.npy"))
        for a, b in zip(picture, array):
            self.assertAlmostEqual(a, b, places=5)

    def test_sidecar_says_how(self):
        other = self.folder / "flat.onnx"
        other.write_bytes(self.model.read_bytes())
        (self.folder / "flat.toml").write_text('[image]\nscale = 0.0\n[output]\nlabels = "names.txt"\n')
        black = self.run_it("run", other, "square.ppm")
        self.assertIn("circle", black)
        self.assertNotEqual(black, self.run_it("run", other, "square.ppm", "--scale", 0.004))
        (self.folder / "flat.toml").write_text("[image]\nwings = 2\n")
        self.assertIn("wings", self.run_it("run", other, "square.ppm", status=1))

    def test_json_of_outputs(self):
        outputs = json.loads(self.run_it("run", self.model, "square.ppm", "--json"))
        self.assertEqual(set(outputs), {"probabilities", "edges"})

    def test_bench_json(self):
        report = json.loads(self.run_it("bench", self.model, "--threads", "1,2", "--runs", 3, "--shape", "image=2x3x64x64", "--json"))
        self.assertEqual([r["threads"] for r in report], [1, 2])
        for r in report:
            self.assertEqual(set(r), {"model", "threads", "runs", "open_ms", "first_ms", "wall_ms", "cpu_ms", "peak_memory_bytes",
                                      "arena_bytes", "weights_bytes", "flops"})
            self.assertEqual(set(r["wall_ms"]), {"min", "median", "p90", "max"})

    def test_inspect_and_operators_json(self):
        self.assertIn("Conv", json.loads(self.run_it("inspect", self.model, "--json"))["operators"])
        self.assertGreater(len(json.loads(self.run_it("operators", "--json"))), 100)

    def test_profile(self):
        shown = self.run_it("profile", self.model, "--runs", 3, "--plot", "roofline.svg", "--trace", "steps.json")
        self.assertRegex(shown, r"this machine: \d+ GFLOP/s")
        self.assertIn("█", shown)
        drawn = (self.folder / "roofline.svg").read_text()
        self.assertTrue(drawn.startswith("<svg") and drawn.endswith("</svg>\n"))
        self.run_it("profile", self.model, "--runs", 2, "--plot", "roofline.png")
        self.assertEqual((self.folder / "roofline.png").read_bytes()[:4], b"\x89PNG")
        self.run_it("profile", self.model, "--plot", "roofline.gif", status=1)
        report = json.loads(self.run_it("profile", self.model, "--runs", 3, "--json"))
        self.assertGreater(report["peak_gflops"], 0)
        self.assertAlmostEqual(sum(s["share"] for s in report["steps"]), 1, places=6)
        self.assertEqual(sum(o["steps"] for o in report["operators"]), len(report["steps"]))
        slices = [e for e in json.loads((self.folder / "steps.json").read_text())["traceEvents"] if e["ph"] == "X"]
        self.assertEqual(len(slices), len(report["steps"]))

    def test_run_writes_a_trace(self):
        self.run_it("run", self.model, "square.ppm", "--profile", "trace.json")
        events = json.loads((self.folder / "trace.json").read_text())["traceEvents"]
        step = next(e for e in events if e["ph"] == "X")
        self.assertLessEqual({"op", "shapes", "flops", "bytes", "GFLOP/s", "threads"}, set(step["args"]))
        self.assertIn("->", step["args"]["shapes"])

    def test_cache(self):
        first = self.run_it("run", self.model, "square.ppm", "--cache", "prepared", "--json")
        self.assertEqual(len(list((self.folder / "prepared").iterdir())), 1)
        self.assertEqual(self.run_it("run", self.model, "square.ppm", "--cache", "prepared", "--json"), first)

    def test_convert(self):
        self.run_it("convert", self.model, "--out", "half.onnx", "--weights", "fp16")
        self.assertIn("square", self.run_it("run", "half.onnx", "square.ppm", "--top", 1, "--labels", "names.txt"))

    def test_statuses(self):
        self.run_it(status=2)
        self.run_it("run", status=2)
        self.run_it("run", self.model, "square.ppm", "--layout", "sideways", status=2)
        self.run_it("nonsense", status=2)
        self.assertIn("nowhere.onnx", self.run_it("run", "nowhere.onnx", "square.ppm", status=1))
        self.assertIn("no input 'nobody'", self.run_it("run", self.model, "--input", "nobody=x.npy", status=1))
        self.assertIn("image' is missing", self.run_it("run", self.model, status=1))
        (self.folder / "broken.onnx").write_bytes(self.model.read_bytes()[:500])
        self.run_it("run", "broken.onnx", "square.ppm", status=1)
        self.assertIn("memory limit", self.run_it("run", self.model, "square.ppm", "--memory-limit", "10kB", status=1))
        for command in ("run", "bench", "profile", "inspect", "operators", "convert", "verify", "tour", "quantize"):
            self.assertIn("Example", self.run_it(command, "--help"))
        self.assertRegex(self.run_it("--version"), r"^outpost \d+\.\d+\.\d+$")

    def test_environment(self):
        done = subprocess.run([PROGRAM, "run", self.model, self.folder / "square.ppm"], capture_output=True, text=True,
                              env={"OUTPOST_ISA": "abacus"})
        self.assertEqual(done.returncode, 2)
        self.assertIn("generic", done.stderr)

    def test_quantize_keeps_the_answer(self):
        data = self.folder / "calibration"
        data.mkdir()
        for name in ("square.ppm", "x.npy"):
            (data / name).write_bytes((self.folder / name).read_bytes())
        for kind in ("minmax", "percentile", "mse"):
            found = json.loads(self.run_it("quantize", self.model, "--data", "calibration", "--range", kind, "--all", "--out", "q.onnx", "--json"))
            self.assertEqual(found["samples"], 2)
            self.assertTrue(all(layer["decision"] == "int8" for layer in found["layers"]), found)
            self.assertLess(found["output_error"], 0.1)
            self.assertLess(found["quantised_bytes"], found["float_bytes"])
            self.assertRegex(self.run_it("run", "q.onnx", "square.ppm", "--top", 1, "--labels", "names.txt"), r"square\n")
        table = self.run_it("quantize", self.model, "--data", "calibration", "--max-error", 0, "--out", "q.onnx")
        self.assertIn("float: error", table)
        self.assertIn("0 of", table)
        self.assertIn("float: kept", self.run_it("quantize", self.model, "--data", "x.npy", "--keep", "*", "--out", "q.onnx"))

    def test_quantize_weights_alone_needs_no_data(self):
        for mode in ("dynamic", "int4"):
            found = json.loads(self.run_it("quantize", self.model, "--mode", mode, "--all", "--out", "w.onnx", "--json"))
            self.assertGreater(len(found["layers"]), 0)
            self.run_it("run", "w.onnx", "square.ppm")

    def test_quantize_says_what_is_wrong_with_the_data(self):
        (self.folder / "nothing").mkdir()
        (self.folder / "small.npy").write_bytes(npy((1, 3, 8), [0.0] * 24))
        self.assertIn("needs calibration data", self.run_it("quantize", self.model, "--out", "q.onnx", status=1))
        self.assertIn("holds no calibration data", self.run_it("quantize", self.model, "--data", "nothing", "--out", "q.onnx", status=1))
        self.assertIn("neither a file nor a folder", self.run_it("quantize", self.model, "--data", "absent", "--out", "q.onnx", status=1))
        self.assertIn("the model expects f32", self.run_it("quantize", self.model, "--data", "small.npy", "--out", "q.onnx", status=1))


if __name__ == "__main__":
    unittest.main(verbosity=1)
