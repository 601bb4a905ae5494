// Binding and executing. The loop of a run is in execute(); everything before it only moves addresses.
#include "runtime/frame.h"

#include <algorithm>
#include <cstring>

#include "runtime/body_runner.h"

namespace outpost {
namespace {

// Memory that nobody else holds any more and that is large enough, or nothing.
bool reusable(const Tensor& t, DType dtype, size_t bytes) {
  return t.defined() && dtype != DType::string && t.dtype() != DType::string && t.buffer().owner.use_count() == 1 && t.buffer().bytes >= bytes;
}

void* shifted(void* data, size_t bytes) noexcept { return bytes == 0 ? data : static_cast<std::byte*>(data) + bytes; }

void copy_values(const View& from, Tensor& to) {
  if (from.dtype == DType::string) std::copy_n(from.as<std::string>(), from.count(), static_cast<std::string*>(to.raw()));
  else if (size_t n = from.bytes()) std::memcpy(to.raw(), from.data, n);
}

}  // namespace

Frame::Frame(const Program& program)
    : program_(program), views_(program.value_count()), open_shapes_(program.value_count()), open_(program.value_count()), owned_(program.value_count()),
      datums_(program.value_count()), output_cache_(program.output_ids_.size()), state_cache_(program.state_writes_.size()),
      contiguous_inputs_(program.input_ids_.size()) {}

Frame::~Frame() = default;

void Frame::charge(size_t bytes, std::string_view what) {
  if (bytes > remaining_bytes())
    fail(ErrorCode::limit, what, ": ", bytes, " more bytes would pass the run's memory limit of ", limit_, " bytes (", used_, " in use)");
  used_ += bytes;
}

// A tensor of this dtype and shape: a slot's memory if nobody holds it, else new memory in place of a slot's. What was
// in the slot is free, or belongs to whoever holds it: either way no longer this frame's.
Tensor Frame::fresh(std::span<Tensor> slots, DType dtype, const Shape& shape) {
  const size_t bytes = bytes_for(dtype, checked_count(shape));
  for (Tensor& t : slots) {
    if (!reusable(t, dtype, bytes)) continue;
    if (!(t.shape() == shape && t.dtype() == dtype)) {
      Buffer b = t.buffer();
      t = Tensor();
      t = Tensor::share(std::move(b.owner), b.data, dtype, shape, b.bytes);
    }
    return t;
  }
  auto held = [](const Tensor& t) { return t.defined() && t.buffer().owner.use_count() > 1; };
  Tensor& slot = *std::min_element(slots.begin(), slots.end(), [&](const Tensor& a, const Tensor& b) { return held(a) < held(b); });
  if (slot.defined()) used_ -= std::min(used_, slot.buffer().bytes);
  slot = Tensor();
  charge(bytes, "output");
  slot = Tensor(dtype, shape);
  return slot;
}

bool Frame::same_inputs(std::span<const Datum* const> inputs) const {
  if (segments_.empty() || !segments_[0]->layout) return false;
  const std::vector<Type>& key = segments_[0]->layout->key;
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (inputs[i]->kind() != Datum::Kind::tensor || !key[i].is_tensor()) return false;
    const Tensor& t = inputs[i]->tensor();
    if (t.dtype() != key[i].dtype || t.rank() != key[i].rank()) return false;
    for (int d = 0; d < t.rank(); ++d)
      if (t.shape()[d] != key[i].dims[d].size) return false;
  }
  return true;
}

void Frame::bind(Segment& segment, std::shared_ptr<const Layout> layout) {
  const size_t bytes = layout->arena_bytes + layout->scratch_bytes;
  if (bytes > segment.memory_bytes) {
    used_ -= std::min(used_, segment.memory_bytes);
    segment.memory.reset();
    segment.memory_bytes = 0;
    segment.layout.reset();
    charge(bytes, "arena");
    Tensor memory(DType::u8, Shape{static_cast<int64_t>(bytes)});
    segment.memory = memory.buffer().owner;
    segment.memory_bytes = bytes;
  }
  segment.layout = std::move(layout);
  for (auto* list : {&segment.inputs, &segment.outputs, &segment.states, &segment.aliases}) list->clear();
  segment.strings.clear();
  segment.owned.clear();
  auto* base = static_cast<std::byte*>(segment.memory.get());
  const Layout& l = *segment.layout;
  for (int id : l.placed) {
    const Place& p = l.places[id];
    View& v = views_[id];
    v = {nullptr, p.where == Where::datum ? nullptr : &p.shape, p.dtype};
    const bool earlier = p.root != id && l.places[p.root].depth < l.depth;
    switch (p.where) {
      case Where::constant:
      case Where::known: v.data = l.values[p.root] ? shifted(const_cast<void*>(l.values[p.root]->raw()), p.shift) : nullptr; break;
      case Where::input: segment.inputs.push_back({id, p.index}); break;
      case Where::output: segment.outputs.push_back({id, p.index}); break;
      case Where::state: segment.states.push_back({id, p.index}); break;
      case Where::arena:
        if (earlier) segment.aliases.push_back({id, p.root});
        else v.data = base + p.offset;
        break;
      case Where::strings:
      case Where::owned:
        if (p.root != id) segment.aliases.push_back({id, p.root});
        else if (p.where == Where::owned) segment.owned.push_back(id);
        else segment.strings.push_back(id);
        break;
      case Where::datum: has_datums_ = true; break;
      case Where::unset: break;
    }
  }
  // What lies in a root's memory comes after the root: a joined part is made, and placed, before its whole.
  std::stable_partition(segment.outputs.begin(), segment.outputs.end(), [&](Patch p) { return l.places[p.value].root == p.value; });
  bind_contexts(segment);
}

void Frame::bind_contexts(Segment& segment) {
  const Layout& l = *segment.layout;
  size_t arguments = 0;
  for (const LayoutStep& ls : l.steps) arguments += program_.steps()[ls.step].inputs.size() + program_.steps()[ls.step].outputs.size();
  segment.arguments.resize(arguments);
  segment.contexts.resize(l.steps.size());
  View** next = segment.arguments.data();
  auto* scratch = static_cast<std::byte*>(segment.memory.get()) + l.arena_bytes;
  for (size_t i = 0; i < l.steps.size(); ++i) {
    const StepInfo& s = program_.steps()[l.steps[i].step];
    RunContext& c = segment.contexts[i];
    c.node_ = s.node;
    c.prepared_ = s.prepared.get();
    c.services_ = this;
    c.scratch_ = scratch;
    c.input_count_ = static_cast<int>(s.inputs.size());
    c.output_count_ = static_cast<int>(s.outputs.size());
    c.inputs_ = next;
    for (int id : s.inputs) *next++ = id < 0 ? nullptr : &views_[id];
    c.outputs_ = next;
    for (int id : s.outputs) *next++ = id < 0 ? nullptr : &views_[id];
  }
}

void Frame::patch(Segment& segment, std::span<const Datum* const> inputs, std::span<Datum> outputs, std::span<const bool> bound) {
  const Layout& l = *segment.layout;
  if (program_.options().debug_fill && segment.memory) std::memset(segment.memory.get(), 0xff, segment.memory_bytes);
  for (int id : l.open) {
    views_[id] = {nullptr, nullptr, l.types[id].dtype};
    open_[id] = true;
  }
  for (Patch p : segment.inputs) {
    const Tensor& t = inputs[p.index]->tensor();
    Tensor& copy = contiguous_inputs_[p.index];
    if (!t.contiguous() && l.places[p.value].root == p.value) copy = t.to_contiguous();
    views_[p.value].data = shifted(const_cast<void*>(t.contiguous() ? t.raw() : copy.raw()), l.places[p.value].shift);
  }
  for (Patch p : segment.states) views_[p.value].data = shifted(state_->values[p.index].raw(), l.places[p.value].shift);
  for (Patch p : segment.outputs) {
    const Place& place = l.places[p.value];
    if (place.root == p.value && place.depth == l.depth) {
      const Place& value = l.places[program_.output_ids_[p.index]];
      if (!bound.empty() && bound[p.index]) check_bound(p.index, outputs[p.index], value.dtype, value.shape);
      else outputs[p.index] = Datum(fresh(output_cache_[p.index], value.dtype, value.shape));
    }
    views_[p.value].data = shifted(const_cast<void*>(outputs[p.index].tensor().raw()), place.shift);
  }
  for (int id : segment.strings) {
    Tensor& t = owned_[id];
    const Shape& shape = l.places[id].shape;
    if (!(t.dtype() == DType::string && t.shape() == shape && t.buffer().owner.use_count() == 1)) t = Tensor(DType::string, shape);
    views_[id].data = t.raw();
  }
  for (int id : segment.owned) views_[id] = {owned_[id].raw(), &l.places[id].shape, l.places[id].dtype};
  for (Patch p : segment.aliases) views_[p.value].data = shifted(views_[p.index].data, l.places[p.value].shift);
}

void Frame::execute(Segment& segment) {
  const Layout& l = *segment.layout;
  const int threads = options_->threads > 0 ? std::min(options_->threads, program_.options().threads) : program_.options().threads;
  for (size_t i = 0; i < l.steps.size(); ++i) {
    RunContext& c = segment.contexts[i];
    step_ = &program_.steps()[l.steps[i].step];
    c.threads_ = threads;
    if (interruptible_) check_interrupt();
    const bool text = c.output_count_ > 0 && c.outputs_[0] && c.outputs_[0]->dtype == DType::string;
    if (text && c.outputs_[0]->dims) expect_text({c.inputs_, static_cast<size_t>(c.input_count_)}, c.outputs_[0]->count());
    if (options_->profile) profile_step(c, l, i);
    else step_->def->run(c);
    if (text) count_text(c);
    temporaries_used_ = 0;
  }
}

void Frame::run(std::span<const Datum* const> inputs, std::span<Datum> outputs, std::span<const bool> bound, RunState& state, const ExecuteOptions& options) {
  state_ = &state;
  options_ = &options;
  limit_ = options.memory_limit_bytes ? options.memory_limit_bytes : default_memory_limit();
  text_used_ = 0;
  if (used_ > limit_) release();
  interruptible_ = options.cancel || options.deadline != std::chrono::steady_clock::time_point::max();
  if (interruptible_ || options.profile) started_ = std::chrono::steady_clock::now();
  if (segments_.empty()) segments_.push_back(std::make_unique<Segment>());
  if (!same_inputs(inputs)) {
    program_.check_inputs(inputs);
    std::vector<Type> types;
    for (const Datum* d : inputs) types.push_back(type_of(*d));
    forget_after(0);
    bind(*segments_[0], program_.layout(std::move(types)));
  }
  for (size_t i = 0; i < inputs.size(); ++i)
    if (inputs[i]->kind() != Datum::Kind::tensor) datums_[program_.input_ids_[i]] = *inputs[i];
  for (size_t depth = 0;; ++depth) {
    Segment& segment = *segments_[depth];
    patch(segment, inputs, outputs, bound);
    execute(segment);
    if (segment.layout->deferred.empty()) {
      finish(*segment.layout, outputs, bound);
      return;
    }
    if (depth + 1 == segments_.size()) segments_.push_back(std::make_unique<Segment>());
    Segment& next = *segments_[depth + 1];
    if (!next.layout || next.layout->parent != segment.layout.get() || !same_open(*segment.layout, next.layout->key)) {
      forget_after(depth + 1);
      bind(next, program_.next_layout(segment.layout, open_types(*segment.layout)));
    }
  }
}

// Later segments lean on the layout before them: when that goes, they go.
void Frame::forget_after(size_t depth) {
  for (size_t i = segments_.size(); i-- > depth + 1;) segments_[i]->layout.reset();
  segments_[depth]->layout.reset();
}

Datum Frame::result(const Layout& last, int output) {
  const int id = program_.output_ids_[output];
  const Place& p = last.places[id];
  if (p.where == Where::datum || (p.where == Where::unset && !views_[id].dims)) return datums_[id];
  if (p.where == Where::unset) return Datum(owned_[id]);
  if (p.where == Where::owned || p.where == Where::strings) return Datum(p.root == id ? owned_[id] : owned_[p.root].reshaped(p.shape));
  return Datum(Tensor::view(views_[id].data, p.dtype, p.shape));  // lies in memory that the frame keeps: to be copied
}

void Frame::finish(const Layout& last, std::span<Datum> outputs, std::span<const bool> bound) {
  for (int i = 0; i < static_cast<int>(outputs.size()); ++i) {
    const Place& p = last.places[program_.output_ids_[i]];
    if (p.where == Where::output && p.index == i) continue;
    Datum value = result(last, i);
    const bool given = !bound.empty() && bound[i];
    if (!given && (value.kind() != Datum::Kind::tensor || value.tensor().buffer().owner)) {
      outputs[i] = std::move(value);
      continue;
    }
    const Tensor& from = value.tensor();
    Tensor to;
    if (given) {
      check_bound(i, outputs[i], from.dtype(), from.shape());
      to = outputs[i].tensor();
    } else {
      to = fresh(output_cache_[i], from.dtype(), from.shape());
    }
    copy_values({const_cast<void*>(from.raw()), &from.shape(), from.dtype()}, to);
    if (!given) outputs[i] = Datum(std::move(to));
  }
  keep_states(last);
  if (has_datums_) std::fill(datums_.begin(), datums_.end(), Datum());
}

void Frame::keep_states(const Layout& last) {
  for (size_t i = 0; i < program_.state_writes_.size(); ++i) {
    const int id = program_.state_writes_[i];
    const Place& p = last.places[id];
    const View v = p.where == Where::unset ? views_[id] : View{views_[id].data, &p.shape, p.dtype};
    Tensor next = fresh({&state_cache_[i], 1}, v.dtype, v.shape());
    copy_values(v, next);
    state_cache_[i] = std::move(state_->values[i]);
    state_->values[i] = std::move(next);
  }
}

void Frame::release() {
  segments_.clear();
  for (auto* list : {&owned_, &state_cache_, &contiguous_inputs_, &temporaries_})
    for (Tensor& t : *list) t = Tensor();
  for (auto& slots : output_cache_) slots = {};
  used_ = 0;
}

}  // namespace outpost
