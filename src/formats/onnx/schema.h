// Field numbers and enumerations of onnx.proto and onnx-data.proto (IR version 13), in the order of those files.
// Source: github.com/onnx/onnx, onnx/onnx.in.proto and onnx/onnx-data.in.proto.
#pragma once

namespace outpost::onnx {

inline constexpr int newest_ir_version = 14;

namespace attribute_field {
enum { name = 1, f = 2, i = 3, s = 4, t = 5, g = 6, floats = 7, ints = 8, strings = 9, tensors = 10, graphs = 11,
       tp = 14, type_protos = 15, type = 20, ref_attr_name = 21, sparse_tensor = 22, sparse_tensors = 23 };
}
enum class AttributeType {
  undefined = 0, real = 1, integer = 2, string = 3, tensor = 4, graph = 5, reals = 6, integers = 7, strings = 8,
  tensors = 9, graphs = 10, sparse_tensor = 11, sparse_tensors = 12, type = 13, types = 14
};

namespace value_info_field { enum { name = 1, type = 2 }; }
namespace node_field { enum { input = 1, output = 2, name = 3, op_type = 4, attribute = 5, domain = 7, overload = 8 }; }
namespace model_field {
enum { ir_version = 1, producer_name = 2, producer_version = 3, graph = 7, opset_import = 8, metadata_props = 14,
       functions = 25 };
}
namespace entry_field { enum { key = 1, value = 2 }; }
namespace graph_field {
enum { node = 1, name = 2, initializer = 5, input = 11, output = 12, value_info = 13, sparse_initializer = 15,
       metadata_props = 16 };
}
namespace tensor_field {
enum { dims = 1, data_type = 2, segment = 3, float_data = 4, int32_data = 5, string_data = 6, int64_data = 7, name = 8,
       raw_data = 9, double_data = 10, uint64_data = 11, external_data = 13, data_location = 14 };
}
namespace sparse_tensor_field { enum { values = 1, indices = 2, dims = 3 }; }
namespace shape_field { enum { dim = 1, dim_value = 1, dim_param = 2 }; }
namespace type_field {
enum { tensor = 1, sequence = 4, map = 5, opaque = 7, sparse_tensor = 8, optional = 9,
       elem_type = 1, shape = 2, key_type = 1, value_type = 2 };  // within those
}
namespace opset_field { enum { domain = 1, version = 2 }; }
namespace function_field {
enum { name = 1, input = 4, output = 5, attribute = 6, node = 7, opset_import = 9, domain = 10, attribute_proto = 11,
       overload = 13 };
}

// onnx-data.proto: SequenceProto, MapProto, OptionalProto. Kinds of elements are the same in all three.
namespace sequence_field { enum { elem_type = 2, tensors = 3, sparse_tensors = 4, sequences = 5, maps = 6, optionals = 7 }; }
namespace map_field { enum { key_type = 2, keys = 3, string_keys = 4, values = 5 }; }
namespace optional_field { enum { elem_type = 2, tensor = 3, sparse_tensor = 4, sequence = 5, map = 6, optional = 7 }; }
enum class DataKind { undefined = 0, tensor = 1, sparse_tensor = 2, sequence = 3, map = 4, optional = 5 };

}  // namespace outpost::onnx
