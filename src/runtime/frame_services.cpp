// What a running step asks of its frame: memory for a shape only it knows, data that are not tensors, bodies, interrupts.
#include <algorithm>
#include <cstring>

#include "base/text.h"
#include "runtime/body_runner.h"
#include "runtime/frame.h"
#include "runtime/text_bytes.h"

namespace outpost {
namespace {

// Something that outlives the run: what is borrowed is copied.
Datum owning(Datum d) {
  if (d.kind() == Datum::Kind::tensor) return d.tensor().buffer().owner ? std::move(d) : Datum(d.tensor().clone());
  if (d.kind() != Datum::Kind::sequence) return d;
  const auto& items = d.items();
  auto borrowed = [](const Datum& x) { return x.kind() == Datum::Kind::tensor && !x.tensor().buffer().owner; };
  if (std::none_of(items.begin(), items.end(), borrowed)) return d;
  std::vector<Datum> copies;
  copies.reserve(items.size());
  for (const Datum& x : items) copies.push_back(owning(x));
  return Datum::sequence(std::move(copies));
}

// What the items of a sequence take. A loop may carry one from iteration to iteration, in no frame's books.
size_t bytes_held(const Datum& d) {
  if (d.kind() == Datum::Kind::tensor) return d.tensor().bytes();
  if (d.kind() != Datum::Kind::sequence) return 0;
  size_t sum = d.items().size() * sizeof(Datum);
  for (const Datum& item : d.items()) sum += bytes_held(item);
  return sum;
}

}  // namespace

Type type_of(const Datum& d) {
  switch (d.kind()) {
    case Datum::Kind::tensor: return Type::of(d.tensor());
    case Datum::Kind::sequence: return Type::sequence(d.items().empty() ? Type() : type_of(d.items()[0]));
    case Datum::Kind::map: return Type::map(d.keys().dtype(), d.items().empty() ? Type() : type_of(d.items()[0]));
    case Datum::Kind::none: break;
  }
  return Type::optional(Type());
}

View& Frame::allocate(int output, const Shape& shape) {
  const int id = step_->outputs[output];
  View& v = views_[id];
  if (v.dims) {
    if (v.shape() == shape) return v;
    fail(ErrorCode::internal, step_->node->label(), ": made output ", output, " of shape ", shape, ", planned ", v.shape());
  }
  if (v.dtype == DType::undefined) fail(ErrorCode::internal, step_->node->label(), ": output ", output, " has no dtype");
  const size_t bytes = bytes_for(v.dtype, checked_count(shape));
  if (v.dtype == DType::string) {
    std::vector<const View*> inputs;
    for (int id : step_->inputs) inputs.push_back(id < 0 ? nullptr : &views_[id]);
    expect_text(inputs, shape.count());
  }
  Tensor& t = owned_[id];
  const bool reuse = v.dtype != DType::string && t.defined() && t.dtype() != DType::string && t.buffer().owner.use_count() == 1 && t.buffer().bytes >= bytes;
  if (reuse) {
    Buffer b = t.buffer();
    t = Tensor();
    t = Tensor::share(std::move(b.owner), b.data, v.dtype, shape, b.bytes);
  } else {
    if (t.defined()) used_ -= std::min(used_, t.buffer().bytes);
    t = Tensor();
    charge(bytes, step_->node->label());
    t = Tensor(v.dtype, shape);
  }
  open_shapes_[id] = shape;
  v.dims = &open_shapes_[id];
  v.data = t.raw();
  return v;
}

void Frame::expect_text(std::span<const View* const> inputs, int64_t elements) const {
  const size_t bytes = text_bound(*step_->node, inputs, elements);
  if (bytes > remaining_bytes())
    fail(ErrorCode::limit, step_->node->label(), ": ", elements, " strings of up to ", bytes, " characters would pass the run's memory limit of ", limit_, " bytes");
}

void Frame::count_text(const RunContext& c) {
  if (c.outputs_[0]->dims) text_used_ += text_bytes(*c.outputs_[0]);
  if (text_used_ > limit_) fail(ErrorCode::limit, step_->node->label(), ": the strings of this run pass its memory limit of ", limit_, " bytes");
}

Datum Frame::input_datum(int i) {
  const int id = step_->inputs[i];
  if (id < 0) return Datum();
  const View& v = views_[id];
  if (!v.dims) return datums_[id];
  return Datum(Tensor::view(v.data, v.dtype, v.shape()));
}

void Frame::set_output_datum(int i, Datum datum) {
  const int id = step_->outputs[i];
  if (id < 0) return;
  View& v = views_[id];
  if (datum.kind() != Datum::Kind::tensor) {
    if (v.dims) fail(ErrorCode::invalid_model, step_->node->label(), ": output ", i, " was declared a tensor but is not one");
    datums_[id] = owning(std::move(datum));
    has_datums_ = true;
    return;
  }
  const Tensor& t = datum.tensor();
  if (v.dims) {  // a place was planned
    if (t.dtype() != v.dtype || !(t.shape() == v.shape()))
      fail(ErrorCode::invalid_model, step_->node->label(), ": output ", i, " is ", Type::of(t), ", expected ", Type::tensor(v.dtype, v.shape()));
    if (t.dtype() == DType::string) std::copy_n(static_cast<const std::string*>(t.raw()), t.count(), v.as<std::string>());
    else if (t.bytes()) std::memcpy(v.data, t.raw(), t.bytes());
    return;
  }
  const Tensor mine = owning(std::move(datum)).tensor();
  if (!open_[id]) {  // planned as an optional: it holds a tensor this time
    datums_[id] = Datum(mine);
    has_datums_ = true;
    return;
  }
  charge(mine.bytes(), step_->node->label());
  if (owned_[id].defined()) used_ -= std::min(used_, owned_[id].bytes());
  owned_[id] = mine;
  open_shapes_[id] = mine.shape();
  v = {const_cast<void*>(mine.raw()), &open_shapes_[id], mine.dtype()};
}

SubgraphRunner& Frame::subgraph(std::string_view attribute) {
  for (const auto& [name, body] : step_->bodies) {
    if (name != attribute) continue;
    auto& runner = bodies_[{step_, std::string_view(name)}];
    if (!runner) runner = std::make_unique<BodyRunner>(*this, body);
    return *runner;
  }
  fail(ErrorCode::invalid_model, step_->node->label(), ": has no subgraph '", attribute, "'");
}

std::vector<Datum> BodyRunner::run(std::span<const Datum> inputs) {
  pointers_.clear();
  size_t held = 0;
  for (const Datum& d : inputs) {
    pointers_.push_back(&d);
    if (d.kind() == Datum::Kind::sequence) held += bytes_held(d);
  }
  ExecuteOptions options = frame_.options();
  if (held >= frame_.remaining_bytes()) fail(ErrorCode::limit, "the sequences that a loop carries hold ", held, " bytes, which passes the run's memory limit");
  options.memory_limit_bytes = frame_.remaining_bytes() - held;
  options.profile = nullptr;
  std::vector<Datum> outputs(body_->graph().outputs.size());
  state_.random = frame_.state().random;
  body_->run(pointers_, outputs, {}, state_, options);
  frame_.state().random = state_.random;
  return outputs;
}

void* Frame::temporary(size_t bytes) {
  if (temporaries_used_ == temporaries_.size()) temporaries_.emplace_back();
  Tensor& t = temporaries_[temporaries_used_++];
  if (!t.defined() || t.bytes() < bytes) {
    used_ -= std::min(used_, t.defined() ? t.bytes() : 0);
    t = Tensor();
    charge(bytes, step_->node->label());
    t = Tensor(DType::u8, Shape{static_cast<int64_t>(bytes)});
  }
  return t.raw();
}

void Frame::check_interrupt() {
  if (!interruptible_) return;
  if (options_->cancel && options_->cancel->load(std::memory_order_relaxed)) fail(ErrorCode::cancelled, "the run was cancelled at ", step_->node->label());
  if (options_->deadline != std::chrono::steady_clock::time_point::max() && std::chrono::steady_clock::now() > options_->deadline)
    fail(ErrorCode::deadline, "the run's deadline passed at ", step_->node->label());
}

void Frame::check_bound(int output, const Datum& out, DType dtype, const Shape& shape) const {
  const std::string& name = program_.graph().output_name(static_cast<size_t>(output));
  if (out.kind() != Datum::Kind::tensor) fail(ErrorCode::invalid_argument, "the memory bound to output '", name, "' is not a tensor");
  const Tensor& t = out.tensor();
  if (t.dtype() != dtype || !(t.shape() == shape) || !t.contiguous())
    fail(ErrorCode::invalid_argument, "output '", name, "' is ", Type::tensor(dtype, shape), " but is bound to ", Type::of(t), t.contiguous() ? "" : " (strided)");
}

void Frame::profile_step(RunContext& c, const Layout& layout, size_t index) {
  const StepInfo& s = program_.steps()[layout.steps[index].step];
  const auto begin = std::chrono::steady_clock::now();
  s.def->run(c);
  const auto end = std::chrono::steady_clock::now();
  std::vector<Type> types;
  std::vector<const Type*> pointers;
  types.reserve(s.inputs.size() + s.outputs.size());
  auto add = [&](int id) {
    types.push_back(id >= 0 && views_[id].dims ? Type::tensor(views_[id].dtype, views_[id].shape()) : Type());
    pointers.push_back(id < 0 ? nullptr : &types.back());
  };
  for (int id : s.inputs) add(id);
  for (int id : s.outputs) add(id);
  const std::span<const Type* const> all(pointers);
  const Cost cost = cost_of(CostContext{*s.node, all.first(s.inputs.size()), all.subspan(s.inputs.size())});
  auto ns = [](auto d) { return std::chrono::duration_cast<std::chrono::nanoseconds>(d).count(); };
  std::string shapes;
  for (size_t i = 0; i < types.size(); ++i) {
    if (i > 0) shapes += ' ';
    if (i == s.inputs.size()) shapes += "-> ";
    if (!all[i]) shapes += '-';
    else if (types[i].is_static()) shapes += text(types[i].dtype, types[i].shape());
    else shapes += '?';
  }
  options_->profile->push_back({s.node, ns(begin - started_), ns(end - begin), cost.flops, cost.bytes, std::move(shapes)});
}

bool Frame::same_open(const Layout& parent, const std::vector<Type>& key) const {
  for (size_t i = 0; i < key.size(); ++i) {
    const int id = parent.open[i];
    const View& v = views_[id];
    if (!v.dims || !key[i].is_tensor() || v.dtype != key[i].dtype || v.rank() != key[i].rank()) return false;
    for (int d = 0; d < v.rank(); ++d)
      if (v.dim(d) != key[i].dims[d].size) return false;
  }
  return true;
}

std::vector<Type> Frame::open_types(const Layout& layout) const {
  std::vector<Type> types;
  for (int id : layout.open) {
    const View& v = views_[id];
    types.push_back(v.dims ? Type::tensor(v.dtype, v.shape()) : type_of(datums_[id]));
  }
  return types;
}

}  // namespace outpost
