"""Makes the small files that the examples run on; needs the onnx package: python3 examples/models/make.py"""
import pathlib

import onnx
from onnx import TensorProto, helper

folder = pathlib.Path(__file__).parent


def info(name, dims, dtype=TensorProto.FLOAT):
    return helper.make_tensor_value_info(name, dtype, dims)


def save(name, nodes, inputs, outputs, initializers=(), metadata=(), opsets=(("", 17),)):
    graph = helper.make_graph(nodes, name, inputs, outputs, initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid(*o) for o in opsets], ir_version=8)
    helper.set_model_props(model, dict(metadata))
    onnx.checker.check_model(model)
    (folder / f"{name}.onnx").write_bytes(model.SerializeToString())


# y = factor * x, by an operator that no engine has.
save("scale", [helper.make_node("Scale", ["x"], ["y"], domain="example", factor=2.5)],
     [info("x", ["n"])], [info("y", ["n"])], opsets=(("", 17), ("example", 1)))

# total = total + x, kept from run to run: to Outpost the metadata say so, to other engines it is an input and an output.
save("running_total", [helper.make_node("Add", ["total", "x"], ["new_total"])],
     [info("x", [1]), info("total", [1])], [info("new_total", [1])],
     [helper.make_tensor("total", TensorProto.FLOAT, [1], [0.0])], {"outpost.state.total": "total\nnew_total\nlisted"})

# A loop that nothing ends.
body = helper.make_graph([helper.make_node("Identity", ["going"], ["still_going"]), helper.make_node("Cos", ["x"], ["next"])], "body",
                         [info("i", [], TensorProto.INT64), info("going", [], TensorProto.BOOL), info("x", ["n"])],
                         [info("still_going", [], TensorProto.BOOL), info("next", ["n"])])
save("endless", [helper.make_node("Loop", ["", "yes", "x"], ["y"], body=body)], [info("x", ["n"])], [info("y", ["n"])],
     [helper.make_tensor("yes", TensorProto.BOOL, [], [True])])

# A triangle, light on dark, as a grey picture.
rows = [bytes(210 if y in range(14, 50) and abs(x - 32) * 36 <= (y - 14) * 20 else 40 for x in range(64)) for y in range(64)]
(folder / "triangle.pgm").write_bytes(b"P5 64 64 255\n" + b"".join(rows))
