// Planning one segment: the first walk, then offsets and scratch. The second walk is in sharing.cpp.
#include "runtime/layout.h"

#include "ops/infer.h"
#include "runtime/evaluate.h"
#include "runtime/planner.h"

namespace outpost {

void Planner::plan(std::span<const int> steps) {
  for (int s : steps) {
    const StepInfo& step = program_.steps()[s];
    if (!ready(step)) layout_.deferred.push_back(s);
    else if (!infer(step)) continue;  // everything it makes is known
    else place(s, step);
  }
  lifetimes();
  share_in_place();
  join_parts();
  use_output_memory();
  offsets();
  scratch();
}

void Planner::place_source(int id, Where where, int index, const Type& type) {
  Place& p = layout_.places[id];
  p.where = type.kind == Type::Kind::tensor ? where : Where::datum;
  p.index = index;
  p.depth = layout_.depth;
  p.root = id;
  p.shift = 0;
  p.dtype = type.dtype;
  if (type.is_static()) p.shape = type.shape();
  layout_.types[id] = type;
  layout_.placed.push_back(id);
}

bool Planner::ready(const StepInfo& step) const {
  return std::all_of(step.inputs.begin(), step.inputs.end(), [&](int id) { return id < 0 || layout_.places[id].where != Where::unset; });
}

// Types of a step's outputs into types_; false if all outputs became known values.
bool Planner::infer(const StepInfo& step) {
  input_types_.clear();
  input_values_.clear();
  bool all_known = !step.inputs.empty() || step.def->min_inputs == 0, all_static = true;
  for (int id : step.inputs) {
    input_types_.push_back(id < 0 ? nullptr : &layout_.types[id]);
    input_values_.push_back(id < 0 ? nullptr : layout_.values[id]);
    if (id < 0) continue;
    const Tensor* value = layout_.values[id];
    all_known = all_known && value && value->count() <= planned_value_limit;
    all_static = all_static && layout_.types[id].is_static();
  }
  types_ = infer_node(*step.node, input_types_, input_values_);
  const OpDef& def = *step.def;
  if (def.random || !step.bodies.empty() || !(all_known || (def.host_shape && all_static))) return true;
  for (size_t i = 0; i < types_.size(); ++i)
    if (step.outputs[i] >= 0 && types_[i].is_static() && checked_count(types_[i].shape()) > planned_value_limit) return true;
  if (!all_known) return remember(step, evaluate_shapes(*step.node, input_types_));
  for (const Type& t : types_)
    if (t.kind != Type::Kind::tensor) return true;
  return remember(step, evaluate(*step.node, input_values_, size_t{1} << 20));
}

bool Planner::remember(const StepInfo& step, std::vector<Tensor> values) {
  for (size_t i = 0; i < step.outputs.size(); ++i) {
    const int id = step.outputs[i];
    if (id < 0) continue;
    layout_.known.emplace_back(id, std::move(values[i]));
    const Tensor& value = layout_.known.back().second;
    layout_.values[id] = &value;
    place_source(id, Where::known, -1, Type::of(value));
  }
  return false;
}

void Planner::place(int s, const StepInfo& step) {
  bool open = false, moves = false;  // does anything need the step to run?
  for (size_t i = 0; i < step.outputs.size(); ++i) {
    const int id = step.outputs[i];
    if (id < 0) continue;
    if (step.def->view_only && i == 0 && same_bytes(step.inputs[0], types_[0]) && place_view(id, step.inputs[0], 0, types_[0])) continue;
    if (step.def->part && !step.def->joins && place_part(step, static_cast<int>(i))) continue;
    moves = true;
    Type& type = types_[i];
    if (type.kind == Type::Kind::none || (type.is_tensor() && !type.is_static())) {
      layout_.types[id] = type;
      Place& p = layout_.places[id];
      p.dtype = type.dtype;
      p.root = id;
      p.depth = layout_.depth;
      layout_.open.push_back(id);
      open = true;
      continue;
    }
    if (type.is_static()) bytes_for(type.dtype, checked_count(type.shape()));  // throws when absurd
    place_source(id, type.dtype == DType::string ? Where::strings : Where::arena, -1, type);
  }
  if (moves || step.outputs.empty()) layout_.steps.push_back({s, open, 0});
}

bool Planner::same_bytes(int id, const Type& type) const {
  return id >= 0 && type.is_static() && layout_.places[id].where != Where::datum && bytes_for(type.dtype, checked_count(type.shape())) == bytes_of(id);
}

// `id` as the bytes of `of` from the shift-th on, under another type. False where that cannot be.
bool Planner::place_view(int id, int of, size_t shift, const Type& type) {
  const Place& source = layout_.places[of];
  if (!type.is_static() || source.where == Where::datum || source.where == Where::unset) return false;
  const size_t bytes = bytes_for(type.dtype, checked_count(type.shape())), whole = bytes_of(of);
  if (shift > whole || bytes > whole - shift) return false;
  const bool all = bytes == whole;
  if (!all && (source.where == Where::owned || source.where == Where::strings)) return false;  // handed out as whole tensors
  const Root r = root(of);
  place_source(id, source.where, source.index, type);
  layout_.places[id].root = r.id;
  layout_.places[id].shift = r.shift + shift;
  return true;
}

bool Planner::place_part(const StepInfo& step, int output) {
  const int in = step.inputs[0];
  if (in < 0 || types_[static_cast<size_t>(output)].dtype == DType::string || !types_[static_cast<size_t>(output)].is_static() || !layout_.types[in].is_static()) return false;
  output_types_.assign(types_.size(), nullptr);
  for (size_t i = 0; i < types_.size(); ++i)
    if (step.outputs[i] >= 0) output_types_[i] = &types_[i];
  const int64_t begin = step.def->part(PartContext{*step.node, input_types_, output_types_, input_values_}, output);
  return begin >= 0 && place_view(step.outputs[static_cast<size_t>(output)], in, static_cast<size_t>(begin), types_[static_cast<size_t>(output)]);
}

void Planner::offsets() {
  const int count = static_cast<int>(layout_.steps.size());
  std::vector<Block> blocks;
  std::vector<int> owners;
  for (int id : layout_.placed) {
    const Place& p = layout_.places[id];
    if (p.root != id || p.where != Where::arena) continue;
    blocks.push_back({first_[id], std::min(last_[id], count), bytes_of(id)});
    owners.push_back(id);
  }
  layout_.arena_bytes = plan_memory(blocks);
  layout_.live_bytes = largest_live_set(blocks);
  for (size_t i = 0; i < blocks.size(); ++i) layout_.places[owners[i]].offset = blocks[i].offset;
  for (int id : layout_.placed) {
    Place& p = layout_.places[id];
    if (p.root != id) p.offset = layout_.places[p.root].offset + p.shift;
  }
}

void Planner::scratch() {
  std::vector<View> views;
  std::vector<const View*> inputs, outputs;
  for (LayoutStep& ls : layout_.steps) {
    const StepInfo& step = program_.steps()[ls.step];
    if (!step.def->scratch) continue;
    views.assign(step.inputs.size() + step.outputs.size(), View{});
    inputs.assign(step.inputs.size(), nullptr);
    outputs.assign(step.outputs.size(), nullptr);
    auto fill = [&](int id, View& view, const View*& slot) {
      if (id < 0) return;
      const Place& p = layout_.places[id];
      view = {nullptr, p.where == Where::unset || p.where == Where::datum ? nullptr : &p.shape, p.dtype};
      slot = &view;
    };
    for (size_t i = 0; i < inputs.size(); ++i) fill(step.inputs[i], views[i], inputs[i]);
    for (size_t i = 0; i < outputs.size(); ++i) fill(step.outputs[i], views[inputs.size() + i], outputs[i]);
    ls.scratch_bytes = step.def->scratch(ScratchContext{*step.node, inputs, outputs, step.prepared.get(), program_.options().threads});
    layout_.scratch_bytes = std::max(layout_.scratch_bytes, align_up(ls.scratch_bytes));
  }
}

std::shared_ptr<Layout> Program::plan_first(std::vector<Type> inputs) const {
  auto layout = std::make_shared<Layout>();
  layout->places.resize(value_count_);
  layout->types.resize(value_count_);
  layout->values.resize(value_count_, nullptr);
  Planner planner(*this, *layout);
  for (int id = 0; id < value_count_; ++id)
    if (const Tensor* t = constants_[id]) {
      layout->values[id] = constant(id);
      planner.place_source(id, Where::constant, -1, Type::of(*t));
    }
  for (size_t i = 0; i < input_ids_.size(); ++i) planner.place_source(input_ids_[i], Where::input, static_cast<int>(i), inputs[i]);
  for (size_t i = 0; i < state_reads_.size(); ++i)
    planner.place_source(state_reads_[i], Where::state, static_cast<int>(i), Type::of(graph_->states[i].initial));
  layout->key = std::move(inputs);
  std::vector<int> all(steps_.size());
  for (size_t i = 0; i < all.size(); ++i) all[i] = static_cast<int>(i);
  planner.plan(all);
  return layout;
}

std::shared_ptr<Layout> Program::plan_next(const Layout& parent, std::vector<Type> open) const {
  auto layout = std::make_shared<Layout>();
  layout->places = parent.places;
  layout->types = parent.types;
  layout->values = parent.values;
  layout->depth = parent.depth + 1;
  Planner planner(*this, *layout);
  for (size_t i = 0; i < open.size(); ++i) planner.place_source(parent.open[i], Where::owned, -1, open[i]);
  layout->key = std::move(open);
  layout->parent = &parent;
  planner.plan(parent.deferred);
  return layout;
}

}  // namespace outpost
