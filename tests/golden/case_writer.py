"""Golden cases: one node (or a few), seeded inputs, and the outputs that ONNX Runtime computes, in the layout of the
ONNX backend suite (model.onnx, test_data_set_0/{input,output}_N.pb), which `outpost verify` reads."""
import pathlib
import shutil

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper

TYPES = {"float32": 1, "uint8": 2, "int8": 3, "int32": 6, "int64": 7, "object": 8, "bool": 9, "float16": 10,
         "float64": 11}


class Writer:
    def __init__(self, folder: pathlib.Path):
        self.folder, self.count, self.refused = folder, 0, []
        shutil.rmtree(folder, ignore_errors=True)

    def case(self, name, kind, inputs, outputs=1, domain="com.microsoft", standard=17, version=1, weights=(),
             **attributes):
        """One node. `inputs`: name -> array, None for an absent one; those in `weights` become initialisers.
        `outputs`: a count, or a list of names in which "" is absent. `standard`: the opset of ai.onnx."""
        absent = [key for key, value in inputs.items() if value is None]
        names = outputs if isinstance(outputs, list) else [f"y{i}" for i in range(outputs)]
        node = helper.make_node(kind, ["" if key in absent else key for key in inputs], names, domain=domain,
                                **attributes)
        given = {key: value for key, value in inputs.items() if value is not None}
        self.graph(name, [node], given, [n for n in names if n], standard, {domain: version} if domain else {}, weights)

    def graph(self, name, nodes, inputs, outputs, opset, domains=None, weights=()):
        fed = {key: value for key, value in inputs.items() if key not in weights}
        described = [helper.make_tensor_value_info(k, TYPES[v.dtype.name], v.shape) for k, v in fed.items()]
        results = [onnx.ValueInfoProto(name=key) for key in outputs]
        constants = [numpy_helper.from_array(inputs[key], key) for key in weights]
        imports = [helper.make_opsetid("", opset)] + [helper.make_opsetid(d, v) for d, v in (domains or {}).items()]
        model = helper.make_model(helper.make_graph(nodes, name, described, results, constants), opset_imports=imports,
                                  ir_version=8 if opset > 9 else 4)
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        try:
            session = onnxruntime.InferenceSession(model.SerializeToString(), options,
                                                   providers=["CPUExecutionProvider"])
            computed = session.run(outputs, fed)
        except Exception as error:  # noqa: BLE001: the binding raises what it likes
            self.refused.append(f"{name}: {str(error)[:300]}")
            return
        self.write(name, model, session, fed, dict(zip(outputs, computed)))

    def write(self, name, model, session, fed, computed):
        folder = self.folder / f"test_{name}"
        data = folder / "test_data_set_0"
        data.mkdir(parents=True)
        del model.graph.output[:]
        for info in session.get_outputs():
            value = computed[info.name]
            if isinstance(value, np.ndarray):
                dtype = TYPES[value.dtype.name]
                model.graph.output.append(helper.make_tensor_value_info(info.name, dtype, value.shape))
            else:  # ZipMap's sequence of maps
                model.graph.output.append(onnx.ValueInfoProto(name=info.name, type=sequence_of_maps(value)))
        onnx.save(model, folder / "model.onnx")
        for index, (key, value) in enumerate(fed.items()):
            (data / f"input_{index}.pb").write_bytes(numpy_helper.from_array(value, key).SerializeToString())
        for index, (key, value) in enumerate(computed.items()):
            made = numpy_helper.from_array(value, key) if isinstance(value, np.ndarray) else maps_proto(value, key)
            (data / f"output_{index}.pb").write_bytes(made.SerializeToString())
        self.count += 1

    def finish(self):
        print(f"{self.folder}: {self.count} cases")
        for reason in self.refused:
            print(f"  ONNX Runtime refused {reason}")


def maps_proto(value, name):
    """A sequence of maps from int64 or string to float."""
    sequence = onnx.SequenceProto(name=name, elem_type=onnx.SequenceProto.MAP)
    for entries in value:
        item = sequence.map_values.add(key_type=map_key_type(value))
        if item.key_type == onnx.TensorProto.STRING:
            item.string_keys.extend(key.encode() for key in entries)
        else:
            item.keys.extend(entries)
        item.values.elem_type = onnx.SequenceProto.TENSOR
        item.values.tensor_values.extend(numpy_helper.from_array(np.array(v, np.float32)) for v in entries.values())
    return sequence


def map_key_type(value):
    return onnx.TensorProto.STRING if isinstance(next(iter(value[0])), str) else onnx.TensorProto.INT64


def sequence_of_maps(value):
    return helper.make_sequence_type_proto(helper.make_map_type_proto(
        map_key_type(value), helper.make_tensor_type_proto(onnx.TensorProto.FLOAT, [])))
