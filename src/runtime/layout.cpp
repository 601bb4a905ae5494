// Planning one segment. First walk: types, plan-time values, aliases, and which steps must wait. Second walk: lifetimes,
// in-place reuse, which values may lie in the caller's output, offsets, scratch.
#include "runtime/layout.h"

#include <algorithm>
#include <unordered_map>

#include "ops/infer.h"
#include "runtime/evaluate.h"

namespace outpost {
namespace {

constexpr int64_t known_limit = 4096;  // elements: larger values are computed by the run, or folded when the model opens

size_t bytes_of(const Place& p) { return bytes_for(p.dtype, p.shape.count()); }

}  // namespace

class Planner {
 public:
  Planner(const Program& program, Layout& layout) : program_(program), layout_(layout) {}

  void plan(std::span<const int> steps) {
    for (int s : steps) {
      const StepInfo& step = program_.steps()[s];
      if (!ready(step)) layout_.deferred.push_back(s);
      else if (!infer(step)) continue;  // everything it makes is known
      else place(s, step);
    }
    lifetimes();
    share_in_place();
    use_output_memory();
    offsets();
    scratch();
  }

  void place_source(int id, Where where, int index, const Type& type) {
    Place& p = layout_.places[id];
    p.where = type.kind == Type::Kind::tensor ? where : Where::datum;
    p.index = index;
    p.depth = layout_.depth;
    p.root = id;
    p.dtype = type.dtype;
    if (type.is_static()) p.shape = type.shape();
    layout_.types[id] = type;
    layout_.placed.push_back(id);
  }

 private:
  bool ready(const StepInfo& step) const {
    return std::all_of(step.inputs.begin(), step.inputs.end(), [&](int id) { return id < 0 || layout_.places[id].where != Where::unset; });
  }

  // Types of a step's outputs into types_; false if all outputs became known values.
  bool infer(const StepInfo& step) {
    input_types_.clear();
    input_values_.clear();
    bool all_known = !step.inputs.empty() || step.def->min_inputs == 0, all_static = true;
    for (int id : step.inputs) {
      input_types_.push_back(id < 0 ? nullptr : &layout_.types[id]);
      input_values_.push_back(id < 0 ? nullptr : layout_.values[id]);
      if (id < 0) continue;
      const Tensor* value = layout_.values[id];
      all_known = all_known && value && value->count() <= known_limit;
      all_static = all_static && layout_.types[id].is_static();
    }
    types_ = infer_node(*step.node, input_types_, input_values_);
    const OpDef& def = *step.def;
    if (def.random || !step.bodies.empty() || !(all_known || (def.host_shape && all_static))) return true;
    for (size_t i = 0; i < types_.size(); ++i)
      if (step.outputs[i] >= 0 && types_[i].is_static() && checked_count(types_[i].shape()) > known_limit) return true;
    if (!all_known) return remember(step, evaluate_shapes(*step.node, input_types_));
    for (const Type& t : types_)
      if (t.kind != Type::Kind::tensor) return true;
    return remember(step, evaluate(*step.node, input_values_, size_t{1} << 20));
  }

  bool remember(const StepInfo& step, std::vector<Tensor> values) {
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

  void place(int s, const StepInfo& step) {
    const bool aliased = step.def->view_only && alias(step);
    bool open = false;
    for (size_t i = 0; i < step.outputs.size(); ++i) {
      const int id = step.outputs[i];
      if (id < 0 || (aliased && i == 0)) continue;
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
    if (aliased && step.outputs.size() == 1) return;
    layout_.steps.push_back({s, open, 0});
  }

  bool alias(const StepInfo& step) {
    const int in = step.inputs[0], out = step.outputs[0];
    if (in < 0 || out < 0 || !types_[0].is_static() || layout_.places[in].where == Where::datum) return false;
    place_source(out, layout_.places[in].where, layout_.places[in].index, types_[0]);
    if (bytes_of(layout_.places[out]) != bytes_of(layout_.places[in])) {
      layout_.placed.pop_back();
      layout_.places[out] = {};
      return false;
    }
    layout_.places[out].root = root(in);
    return true;
  }

  int root(int id) const {
    while (layout_.places[id].root != id && layout_.places[id].root >= 0) id = layout_.places[id].root;
    return id;
  }
  bool movable(int r) const {
    const Place& p = layout_.places[r];
    return p.where == Where::arena && p.depth == layout_.depth;
  }

  void lifetimes() {
    const int n = program_.value_count(), count = static_cast<int>(layout_.steps.size());
    first_.assign(n, count);
    last_.assign(n, -1);
    for (int i = 0; i < count; ++i) {
      const StepInfo& step = program_.steps()[layout_.steps[i].step];
      for (int id : step.inputs)
        if (id >= 0) last_[root(id)] = i;
      for (int id : step.outputs)
        if (id >= 0 && layout_.places[id].root == id) {
          first_[id] = i;
          last_[id] = std::max(last_[id], i);
        }
    }
    auto keep = [&](int id) {
      if (id >= 0 && layout_.places[id].root >= 0) last_[root(id)] = count;
    };
    for (int s : layout_.deferred)
      for (int id : program_.steps()[s].inputs) keep(id);
    for (int id : program_.output_ids_) keep(id);
    for (int id : program_.state_writes_) keep(id);
  }

  void share_in_place() {
    for (int i = 0; i < static_cast<int>(layout_.steps.size()); ++i) {
      const StepInfo& step = program_.steps()[layout_.steps[i].step];
      for (auto [in, out] : step.def->in_place) {
        if (in >= static_cast<int>(step.inputs.size()) || out >= static_cast<int>(step.outputs.size())) continue;
        const int a = step.inputs[in], b = step.outputs[out];
        if (a < 0 || b < 0 || !movable(b) || layout_.places[b].root != b) continue;
        const int r = root(a);
        if (!movable(r) || last_[r] != i || first_[r] == i || bytes_of(layout_.places[r]) != bytes_of(layout_.places[b])) continue;
        if (std::count_if(step.inputs.begin(), step.inputs.end(), [&](int id) { return id >= 0 && root(id) == r; }) != 1) continue;
        layout_.places[b].root = r;
        last_[r] = last_[b];
      }
    }
  }

  void use_output_memory() {
    for (size_t i = 0; i < program_.output_ids_.size(); ++i) {
      const int id = program_.output_ids_[i];
      if (layout_.places[id].root < 0) continue;
      const int r = root(id);
      if (!movable(r) || bytes_of(layout_.places[r]) != bytes_of(layout_.places[id])) continue;
      layout_.places[r].where = Where::output;
      layout_.places[r].index = static_cast<int>(i);
    }
    for (int id : layout_.placed) {  // aliases follow their root
      Place& p = layout_.places[id];
      p.root = root(id);
      p.where = layout_.places[p.root].where;
      p.index = layout_.places[p.root].index;
    }
  }

  void offsets() {
    const int count = static_cast<int>(layout_.steps.size());
    std::vector<Block> blocks;
    std::vector<int> owners;
    for (int id : layout_.placed) {
      const Place& p = layout_.places[id];
      if (p.root != id || p.where != Where::arena) continue;
      blocks.push_back({first_[id], std::min(last_[id], count), bytes_of(p)});
      owners.push_back(id);
    }
    layout_.arena_bytes = plan_memory(blocks);
    layout_.live_bytes = largest_live_set(blocks);
    for (size_t i = 0; i < blocks.size(); ++i) layout_.places[owners[i]].offset = blocks[i].offset;
    for (int id : layout_.placed) layout_.places[id].offset = layout_.places[layout_.places[id].root].offset;
  }

  void scratch() {
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

  const Program& program_;
  Layout& layout_;
  std::vector<const Type*> input_types_;
  std::vector<const Tensor*> input_values_;
  std::vector<Type> types_;
  std::vector<int> first_, last_;
};

std::shared_ptr<Layout> Program::plan_first(std::vector<Type> inputs) const {
  auto layout = std::make_shared<Layout>();
  layout->places.resize(value_count_);
  layout->types.resize(value_count_);
  layout->values.resize(value_count_, nullptr);
  Planner planner(*this, *layout);
  for (int id = 0; id < value_count_; ++id)
    if (const Tensor* t = constants_[id]) {
      layout->values[id] = t;
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
