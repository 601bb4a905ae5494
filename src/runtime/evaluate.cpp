// See evaluate.h. The services are the simplest that can be: every output owns its memory.
#include "runtime/evaluate.h"

#include "ops/infer.h"
#include "runtime/text_bytes.h"

namespace outpost {
namespace {

class Evaluation final : public RunServices {
 public:
  Evaluation(const Node& node, size_t limit_bytes) : node_(node), limit_(limit_bytes), random_(0) {}

  std::vector<Tensor> run(std::span<const Type* const> types, std::span<const Tensor* const> values) {
    const OpDef& def = *node_.def;
    const size_t n = types.size();
    std::vector<Shape> shapes(n);
    std::vector<View> views(n);
    std::vector<const View*> inputs(n, nullptr);
    for (size_t i = 0; i < n; ++i) {
      if (!types[i]) continue;
      shapes[i] = types[i]->shape();
      views[i] = {values[i] ? const_cast<void*>(values[i]->raw()) : nullptr, &shapes[i], types[i]->dtype};
      inputs[i] = &views[i];
    }
    inputs_ = inputs;
    std::vector<Type> out_types = infer_node(node_, types, values);
    const size_t m = out_types.size();
    tensors_.resize(m);
    shapes_.resize(m);
    outputs_.resize(m);
    std::vector<View*> outputs(m, nullptr);
    for (size_t i = 0; i < m; ++i) {
      if (!node_.output(static_cast<int>(i))) continue;
      outputs[i] = &outputs_[i];
      outputs_[i].dtype = out_types[i].dtype;
      if (out_types[i].is_static()) allocate(static_cast<int>(i), out_types[i].shape());
    }
    std::shared_ptr<const void> prepared;
    if (def.prepare) prepared = def.prepare(PrepareContext{node_, values, 1});
    Tensor scratch;
    if (def.scratch) {
      std::vector<const View*> outs(outputs.begin(), outputs.end());
      size_t bytes = def.scratch(ScratchContext{node_, inputs, outs, prepared.get(), 1});
      scratch = Tensor(DType::u8, Shape{static_cast<int64_t>(bytes)});
    }
    RunContext c;
    c.node_ = &node_;
    c.inputs_ = inputs.data();
    c.outputs_ = outputs.data();
    c.input_count_ = static_cast<int>(n);
    c.output_count_ = static_cast<int>(m);
    c.prepared_ = prepared.get();
    c.scratch_ = scratch.raw();
    c.services_ = this;
    def.run(c);
    return std::move(tensors_);
  }

  View& allocate(int i, const Shape& shape) override {
    const size_t bytes = bytes_for(outputs_[i].dtype, checked_count(shape));
    if (bytes > limit_) fail(ErrorCode::limit, node_.label(), ": output ", i, " takes ", bytes, " bytes; the limit is ", limit_);
    if (outputs_[i].dtype == DType::string && text_bound(node_, inputs_, shape.count()) > limit_)
      fail(ErrorCode::limit, node_.label(), ": the strings of output ", i, " may pass the limit of ", limit_, " bytes");
    tensors_[i] = Tensor(outputs_[i].dtype, shape);
    shapes_[i] = shape;
    outputs_[i].data = tensors_[i].raw();
    outputs_[i].dims = &shapes_[i];
    return outputs_[i];
  }
  Datum input_datum(int) override { unsupported(); }
  void set_output_datum(int i, Datum d) override { tensors_[i] = d.tensor(); }
  SubgraphRunner& subgraph(std::string_view) override { unsupported(); }
  void* temporary(size_t bytes) override {
    if (bytes > limit_) fail(ErrorCode::limit, node_.label(), ": needs ", bytes, " bytes of temporary memory; the limit is ", limit_);
    temporaries_.emplace_back(DType::u8, Shape{static_cast<int64_t>(bytes)});
    return temporaries_.back().raw();
  }
  void check_interrupt() override {}
  Random& random() override { return random_; }

 private:
  [[noreturn]] void unsupported() const { fail(ErrorCode::internal, node_.label(), " cannot be evaluated alone"); }
  const Node& node_;
  size_t limit_;
  Random random_;
  std::vector<Tensor> tensors_, temporaries_;
  std::vector<Shape> shapes_;
  std::vector<View> outputs_;
  std::span<const View* const> inputs_;
};

}  // namespace

std::vector<Tensor> evaluate(const Node& node, std::span<const Tensor* const> inputs, size_t limit_bytes) {
  std::vector<Type> types(inputs.size());
  std::vector<const Type*> pointers(inputs.size(), nullptr);
  for (size_t i = 0; i < inputs.size(); ++i)
    if (inputs[i]) {
      types[i] = Type::of(*inputs[i]);
      pointers[i] = &types[i];
    }
  return Evaluation(node, limit_bytes).run(pointers, inputs);
}

std::vector<Tensor> evaluate_shapes(const Node& node, std::span<const Type* const> inputs) {
  std::vector<const Tensor*> values(inputs.size(), nullptr);
  return Evaluation(node, size_t{1} << 20).run(inputs, values);
}

}  // namespace outpost
