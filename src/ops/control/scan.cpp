// Scan: a body run for every slice of its scanned inputs, carrying states, stacking what it makes.
// https://onnx.ai/onnx/operators/onnx__Scan.html
//
// A slice along axis 0 is a view; along another axis it is copied into one buffer that all iterations share.
#include "ops/control/scan.h"

#include "ops/control/merge.h"
#include "ops/control/stack.h"
#include "ops/dynamic.h"
#include "ops/movement.h"

namespace outpost {

ScanForm ScanForm::of(const Node& node) {
  const Attributes& a = node.attributes;
  const Graph& body = *a.graph("body");
  const int64_t scanned = a.integer("num_scan_inputs", 0);
  auto require = [&](bool holds, const auto&... what) {
    if (!holds) fail(ErrorCode::invalid_model, node.label(), ": ", what...);
  };
  require(scanned >= 1 && scanned <= node.arity(), "num_scan_inputs is ", scanned, " for ", node.arity(), " inputs");
  const int states = node.arity() - static_cast<int>(scanned), outputs = static_cast<int>(body.outputs.size()) - states;
  require(body.inputs().size() == node.inputs().size(), "the body takes ", body.inputs().size(), " values; expected ", node.inputs().size());
  require(outputs >= 0 && node.outputs().size() <= body.outputs.size(), "the body has ", body.outputs.size(), " outputs for ", states, " states and ",
          node.outputs().size(), " outputs");
  auto list = [&](const char* name, int count) -> const std::vector<int64_t>& {
    const std::vector<int64_t>& v = a.integers(name);
    require(v.empty() || static_cast<int>(v.size()) == count, name, " has ", v.size(), " entries; expected ", count);
    return v;
  };
  const int inputs = static_cast<int>(scanned);
  return {states, inputs, outputs, list("scan_input_axes", inputs), list("scan_output_axes", outputs), list("scan_input_directions", inputs),
          list("scan_output_directions", outputs)};
}

namespace {

void infer(InferContext& c) {
  const ScanForm form = ScanForm::of(c.node());
  Dim length;
  std::vector<Type> states, slices;
  for (int i = 0; i < form.states; ++i) states.push_back(c.input(i));
  for (int i = 0; i < form.inputs; ++i) {
    Type t = c.input(form.states + i);
    if (t.ranked) {
      const int axis = form.input_axis(i, t.rank());
      c.require(axis >= 0, "scan input ", i, " of rank ", t.rank(), " has no such axis");
      const Dim n = t.dims[static_cast<size_t>(axis)];
      c.require(!n.known() || !length.known() || n == length, "scan inputs have ", length.size, " and ", n.size, " steps");
      if (!length.known()) length = n;
      t.dims.erase(t.dims.begin() + axis);
    }
    slices.push_back(std::move(t));
  }
  const std::vector<Type> captures = captured_types(c);
  const std::vector<Type> outputs = infer_iterations(c, *c.attributes().graph("body"), states, 0, [&](std::span<const Type> current) {
    std::vector<Type> inputs(current.begin(), current.end());
    inputs.insert(inputs.end(), slices.begin(), slices.end());
    inputs.insert(inputs.end(), captures.begin(), captures.end());
    return inputs;
  });
  for (int i = 0; i < c.outputs(); ++i) {
    if (i < form.states) {
      c.output(i, states[static_cast<size_t>(i)]);
      continue;
    }
    Type row = outputs[static_cast<size_t>(i)];
    if (!row.is_tensor()) continue;
    if (row.ranked) {
      const int axis = form.output_axis(i - form.states, row.rank() + 1);
      c.require(axis >= 0, "scan output ", i - form.states, " of rank ", row.rank() + 1, " has no such axis");
      row.dims.insert(row.dims.begin() + axis, length);
    }
    c.output(i, std::move(row));
  }
}

// The slices of one scanned input.
class Slices {
 public:
  Slices(RunContext& ctx, int input, int axis) : x_(ctx.in(input)), shape_(x_.shape()) {
    length_ = shape_[axis];
    outer_ = shape_.count(0, axis);
    inner_ = shape_.count(axis + 1, shape_.rank());
    shape_.erase(axis);
    if (is_packed(x_.dtype) && inner_ * outer_ * bits(x_.dtype) % 8 != 0) ctx.fail("cannot scan slices of ", x_.dtype);
    if (is_packed(x_.dtype) && outer_ != 1) ctx.fail("cannot scan an inner axis of ", x_.dtype);
    if (outer_ > 1) copy_ = Tensor(x_.dtype, shape_);
  }
  int64_t length() const noexcept { return length_; }
  Datum at(RunContext& ctx, int64_t step) {
    if (outer_ <= 1) {
      const size_t offset = is_packed(x_.dtype) ? bytes_for(x_.dtype, step * inner_) : static_cast<size_t>(step * inner_ * element_bytes(x_.dtype));
      return Datum(Tensor::view(static_cast<const void*>(static_cast<const char*>(x_.data) + offset), x_.dtype, shape_));
    }
    copy_strided(ctx, x_.dtype, {outer_, inner_}, element(x_.data, x_.dtype, step * inner_), {length_ * inner_, 1}, copy_.raw(), {inner_, 1});
    return Datum(Tensor::view(static_cast<const void*>(copy_.raw()), x_.dtype, shape_));
  }

 private:
  const View& x_;
  Shape shape_;
  int64_t length_, outer_, inner_;
  Tensor copy_;
};

// Writes one iteration's row to its place in a stacked output, allocated by the first.
void write_row(RunContext& ctx, const ScanForm& form, int output, const Tensor& given, int64_t step, int64_t length) {
  const Tensor row = given.to_contiguous();
  const int k = output - form.states, axis = form.output_axis(k, row.rank() + 1);
  ctx.require(axis >= 0, "scan output ", k, " of rank ", row.rank() + 1, " has no such axis");
  Shape shape = row.shape();
  shape.insert(axis, length);
  if (is_packed(row.dtype())) ctx.fail("cannot stack rows of ", row.dtype());
  View& y = ctx.out(output);
  if (!y.defined()) ctx.allocate(output, shape);
  ctx.require(y.dtype == row.dtype() && y.shape() == shape, "row ", step, " of scan output ", k, " is ", Type::of(row), ", which does not fit ", Type::tensor(y.dtype, y.shape()));
  const int64_t outer = shape.count(0, axis), inner = shape.count(axis + 1, shape.rank());
  const int64_t at = form.output_reversed(k) ? length - 1 - step : step;
  copy_strided(ctx, y.dtype, {outer, inner}, row.raw(), {inner, 1}, element(y.data, y.dtype, at * inner), {length * inner, 1});
}

void run(RunContext& ctx) {
  const ScanForm form = ScanForm::of(ctx.node());
  std::vector<Slices> slices;
  for (int i = 0; i < form.inputs; ++i) slices.emplace_back(ctx, form.states + i, form.input_axis(i, ctx.in(form.states + i).rank()));
  const int64_t length = slices[0].length();
  for (const Slices& s : slices) ctx.require(s.length() == length, "scan inputs have ", length, " and ", s.length(), " steps");
  std::vector<Datum> inputs;
  for (int i = 0; i < form.states; ++i) inputs.push_back(ctx.datum(i));
  inputs.resize(static_cast<size_t>(form.states + form.inputs));
  append_captures(ctx, inputs);
  SubgraphRunner& body = ctx.subgraph("body");
  for (int64_t step = 0; step < length; ++step) {
    ctx.check_interrupt();
    for (int i = 0; i < form.inputs; ++i)
      inputs[static_cast<size_t>(form.states + i)] = slices[static_cast<size_t>(i)].at(ctx, form.input_reversed(i) ? length - 1 - step : step);
    std::vector<Datum> outputs = body.run(inputs);
    for (int i = form.states; i < ctx.outputs(); ++i)
      if (ctx.wants(i)) write_row(ctx, form, i, outputs[static_cast<size_t>(i)].tensor(), step, length);
    for (int i = 0; i < form.states; ++i) inputs[static_cast<size_t>(i)] = std::move(outputs[static_cast<size_t>(i)]);
  }
  for (int i = 0; i < ctx.outputs(); ++i) {
    if (!ctx.wants(i)) continue;
    if (i < form.states) ctx.set_datum(i, std::move(inputs[static_cast<size_t>(i)]));
    else if (!ctx.out(i).defined())
      ctx.allocate(i, empty_stack_shape(ctx.node(), i, std::max(0, form.output_axis(i - form.states, ctx.node().output(i)->type.rank())), length));
  }
}

void upgrade(UpgradeContext& u) {
  if (u.from < 9) upgrade_scan_8(u);
}

}  // namespace

OUTPOST_DEFINE_OP(Scan, .name = "Scan", .since = 25, .first = 8, .min_inputs = 1, .max_inputs = -1, .min_outputs = 1, .max_outputs = -1,
                  .doc = "A subgraph run along an axis, carrying states.", .infer = infer, .run = run, .upgrade = upgrade);

}  // namespace outpost
