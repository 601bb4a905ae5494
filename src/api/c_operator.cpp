// C interface: operators that a program brings along. A definition is an OpDef whose functions find the C callbacks
// behind the node that they are called for; contexts cross the interface as the engine's own, under another name.
#include "api/c_handles.h"
#include "ops/op.h"

using namespace outpost;
using namespace outpost::c;

namespace {

struct CustomOperator : OpDef {
  std::string domain_text, name_text;
  outpost_operator callbacks;
};

const CustomOperator& custom(const Node& node) { return static_cast<const CustomOperator&>(*node.def); }

void check(outpost_status status, const Node& node) {
  if (status == OUTPOST_OK) return;
  const auto code = status >= 1 && status <= OUTPOST_INTERNAL ? static_cast<ErrorCode>(status) : ErrorCode::internal;
  fail(code, node.label(), ": ", outpost_error_message());
}

void infer_custom(InferContext& c) {
  const CustomOperator& op = custom(c.node());
  set_message("the operator's infer function refused its inputs");
  check(op.callbacks.infer(reinterpret_cast<outpost_infer*>(&c), op.callbacks.user), c.node());
}

void run_custom(RunContext& c) {
  const CustomOperator& op = custom(c.node());
  set_message("the operator's run function failed");
  check(op.callbacks.run(reinterpret_cast<outpost_run*>(&c), op.callbacks.user), c.node());
}

InferContext& of(outpost_infer* c) { return reinterpret_cast<InferContext&>(required(c, "context")); }
const InferContext& of(const outpost_infer* c) { return reinterpret_cast<const InferContext&>(required(c, "context")); }
RunContext& of(outpost_run* c) { return reinterpret_cast<RunContext&>(required(c, "context")); }
const RunContext& of(const outpost_run* c) { return reinterpret_cast<const RunContext&>(required(c, "context")); }
const Node& of(const outpost_node* n) { return reinterpret_cast<const Node&>(required(n, "node")); }

// Strings are C++ objects: they stay on this side.
outpost_tensor describe_view(const View& v) {
  if (v.dtype == DType::string) fail(ErrorCode::unsupported, "operators of the C interface do not see tensors of strings");
  return {.struct_size = 0,
          .dtype = static_cast<int32_t>(v.dtype),
          .rank = v.rank(),
          .shape = v.shape().data(),
          .data = v.data,
          .bytes = v.bytes(),
          .count = v.count()};
}

template <class T>
const T& attribute(const outpost_node* node, const char* name) {
  const Attribute* a = of(node).attributes.find(text_or_empty(name));
  if (!a) fail(ErrorCode::not_found, of(node).label(), ": has no attribute '", text_or_empty(name), "'");
  const T* value = std::get_if<T>(a);
  if (!value) fail(ErrorCode::invalid_model, of(node).label(), ": attribute '", text_or_empty(name), "' is of another kind");
  return *value;
}

void check_output(const auto& context, size_t index) {
  if (index >= static_cast<size_t>(context.outputs())) fail(ErrorCode::invalid_argument, "output ", index, " of ", context.outputs());
}

}  // namespace

extern "C" {

outpost_status outpost_register_operator(const outpost_operator* definition) {
  return guarded([&] {
    const outpost_operator o = read_struct(&required(definition, "definition"));
    if (!o.name || !*o.name || !o.infer || !o.run) fail(ErrorCode::invalid_argument, "an operator needs a name, infer and run");
    if (o.min_inputs < 0 || o.min_outputs < 0) fail(ErrorCode::invalid_argument, "operator ", o.name, ": negative numbers of inputs or outputs");
    auto op = std::make_unique<CustomOperator>();
    op->domain_text = text_or_empty(o.domain);
    op->name_text = o.name;
    op->callbacks = o;
    op->name = op->name_text;
    op->domain = op->domain_text;
    op->since = std::max(1, o.since);
    op->min_inputs = o.min_inputs;
    op->max_inputs = o.max_inputs;
    op->min_outputs = o.min_outputs;
    op->max_outputs = o.max_outputs;
    op->infer = infer_custom;
    op->run = run_custom;
    op->random = o.random != 0;
    register_op(*op);
    op.release();  // for the life of the process
  });
}

const outpost_node* outpost_infer_node(const outpost_infer* context) {
  return context ? reinterpret_cast<const outpost_node*>(&of(context).node()) : nullptr;
}

size_t outpost_infer_input_count(const outpost_infer* context) { return context ? static_cast<size_t>(of(context).inputs()) : 0; }

outpost_status outpost_infer_input(const outpost_infer* context, size_t index, int32_t* dtype, int32_t* rank, int64_t* shape, size_t capacity) {
  return guarded([&] {
    const InferContext& c = of(context);
    if (index >= static_cast<size_t>(c.inputs()) || !c.has(static_cast<int>(index))) fail(ErrorCode::not_found, "there is no input ", index);
    const Type& type = c.input(static_cast<int>(index));
    if (dtype) *dtype = static_cast<int32_t>(type.dtype);
    if (rank) *rank = type.ranked ? type.rank() : -1;
    if (shape)
      for (size_t d = 0; d < std::min(capacity, type.dims.size()); ++d) shape[d] = type.dims[d].size;
  });
}

outpost_status outpost_infer_value(const outpost_infer* context, size_t index, outpost_tensor* tensor) {
  return guarded([&] {
    const Tensor* value = index < static_cast<size_t>(of(context).inputs()) ? of(context).value(static_cast<int>(index)) : nullptr;
    if (!value) fail(ErrorCode::not_found, "the value of input ", index, " is not known yet");
    write_struct(describe(*value), tensor);
  });
}

outpost_status outpost_infer_output(outpost_infer* context, size_t index, int32_t dtype, int32_t rank, const int64_t* shape) {
  return guarded([&] {
    InferContext& c = of(context);
    check_output(c, index);
    if (rank < 0) return c.output(static_cast<int>(index), dtype_from(dtype));
    if (rank > Shape::max_rank) fail(ErrorCode::limit, "rank ", rank, " is more than ", Shape::max_rank);
    if (rank) required(shape, "shape");
    Dims dims;
    for (int32_t d = 0; d < rank; ++d) dims.push_back(shape[d] < 0 ? Dim() : Dim(shape[d]));
    c.output(static_cast<int>(index), dtype_from(dtype), std::move(dims));
  });
}

outpost_status outpost_infer_output_like(outpost_infer* context, size_t index, size_t input) {
  return guarded([&] {
    check_output(of(context), index);
    if (input > INT32_MAX) fail(ErrorCode::invalid_argument, "there is no input ", input);
    of(context).output(static_cast<int>(index), of(context).input(static_cast<int>(input)));
  });
}

const outpost_node* outpost_run_node(const outpost_run* context) {
  return context ? reinterpret_cast<const outpost_node*>(&of(context).node()) : nullptr;
}

size_t outpost_run_input_count(const outpost_run* context) { return context ? static_cast<size_t>(of(context).inputs()) : 0; }

outpost_status outpost_run_input(const outpost_run* context, size_t index, outpost_tensor* tensor) {
  return guarded([&] {
    const RunContext& c = of(context);
    if (index >= static_cast<size_t>(c.inputs()) || !c.has(static_cast<int>(index))) fail(ErrorCode::not_found, "there is no input ", index);
    write_struct(describe_view(c.in(static_cast<int>(index))), tensor);
  });
}

outpost_status outpost_run_output(outpost_run* context, size_t index, outpost_tensor* tensor) {
  return guarded([&] {
    const RunContext& c = of(context);
    check_output(c, index);
    if (!c.wants(static_cast<int>(index))) fail(ErrorCode::not_found, "output ", index, " is not wanted");
    const View& v = c.out(static_cast<int>(index));
    if (!v.defined()) fail(ErrorCode::invalid_argument, "the shape of output ", index, " was not inferred; use outpost_run_allocate");
    write_struct(describe_view(v), tensor);
  });
}

outpost_status outpost_run_allocate(outpost_run* context, size_t index, const int64_t* shape, size_t rank, outpost_tensor* tensor) {
  return guarded([&] {
    RunContext& c = of(context);
    check_output(c, index);
    if (!c.wants(static_cast<int>(index))) fail(ErrorCode::not_found, "output ", index, " is not wanted");
    const Shape wanted = shape_from(shape, rank);
    const View& planned = c.out(static_cast<int>(index));
    if (planned.defined() && !(planned.shape() == wanted))
      fail(ErrorCode::invalid_data, "output ", index, " of shape ", wanted, " was inferred as ", planned.shape());
    write_struct(describe_view(planned.defined() ? planned : c.allocate(static_cast<int>(index), wanted)), tensor);
  });
}

outpost_status outpost_run_parallel(outpost_run* context, int64_t tiles, void (*body)(int64_t, void*), void* user) {
  return guarded([&] {
    if (!body) fail(ErrorCode::invalid_argument, "body is NULL");
    of(context).parallel(tiles, [&](int64_t tile) { body(tile, user); });
  });
}

outpost_status outpost_node_integer(const outpost_node* node, const char* name, int64_t* value) {
  return guarded([&] { required(value, "value") = attribute<int64_t>(node, name); });
}

outpost_status outpost_node_real(const outpost_node* node, const char* name, float* value) {
  return guarded([&] { required(value, "value") = attribute<float>(node, name); });
}

outpost_status outpost_node_string(const outpost_node* node, const char* name, const char** value, size_t* length) {
  return guarded([&] {
    const std::string& s = attribute<std::string>(node, name);
    required(value, "value") = s.c_str();
    if (length) *length = s.size();
  });
}

outpost_status outpost_node_integers(const outpost_node* node, const char* name, const int64_t** values, size_t* count) {
  return guarded([&] {
    const auto& list = attribute<std::vector<int64_t>>(node, name);
    required(values, "values") = list.data();
    required(count, "count") = list.size();
  });
}

outpost_status outpost_node_reals(const outpost_node* node, const char* name, const float** values, size_t* count) {
  return guarded([&] {
    const auto& list = attribute<std::vector<float>>(node, name);
    required(values, "values") = list.data();
    required(count, "count") = list.size();
  });
}

const char* outpost_node_name(const outpost_node* node) { return node ? of(node).name.c_str() : ""; }

}  // extern "C"
