// Compiling a graph into steps, and the caches of frames and layouts.
#include "runtime/program.h"

#include <unistd.h>

#include <algorithm>

#include "base/text.h"
#include "runtime/frame.h"
#include "runtime/layout.h"
#include "runtime/prepare.h"

namespace outpost {

size_t default_memory_limit() noexcept {
  static const size_t limit = [] {
    const long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGE_SIZE);
    if (pages <= 0 || page <= 0) return size_t{1} << 30;
    return static_cast<size_t>(pages) / 4 * 3 * static_cast<size_t>(page);
  }();
  return limit;
}

Program::~Program() = default;

std::shared_ptr<const Program> Program::compile(std::shared_ptr<const Graph> graph, const ProgramOptions& options, const Preparation& how) {
  std::shared_ptr<Program> p(new Program);
  Graph& g = const_cast<Graph&>(*graph);  // ids are not part of what a graph means
  p->value_count_ = g.renumber();
  p->options_ = options;
  p->values_.resize(p->value_count_);
  p->constants_.resize(p->value_count_, nullptr);
  for (const auto& v : g.values()) {
    if (v->id() < 0) continue;
    p->values_[v->id()] = v.get();
    if (v->is_constant()) p->constants_[v->id()] = &v->stored();
  }
  for (const Value* v : g.inputs()) {
    auto state = std::find_if(g.states.begin(), g.states.end(), [&](const StateVariable& s) { return s.read == v; });
    if (state == g.states.end()) p->input_ids_.push_back(v->id());
  }
  for (const StateVariable& s : g.states) {
    p->state_reads_.push_back(s.read->id());
    p->state_writes_.push_back(s.write->id());
  }
  for (const Value* v : g.outputs) p->output_ids_.push_back(v->id());
  for (const auto& node : g.nodes()) {
    StepInfo step;
    step.node = node.get();
    step.def = node->def;
    if (!step.def || !step.def->run) fail(ErrorCode::unsupported, node->label(), ": operator has no implementation");
    for (const Value* v : node->inputs()) step.inputs.push_back(v ? v->id() : -1);
    for (const Value* v : node->outputs()) step.outputs.push_back(v ? v->id() : -1);
    for_each_subgraph(*node, [&](const std::string& attribute, const std::shared_ptr<Graph>& body) {
      step.bodies.emplace_back(attribute, compile(body, options, {how.store, how.let_go, text(how.path, p->steps_.size(), '.', attribute, '.')}));
    });
    p->steps_.push_back(std::move(step));
  }
  prepare_steps(g, p->steps_, options.threads, how);
  p->graph_ = std::move(graph);
  return p;
}

RunState Program::new_state(uint64_t seed) const {
  RunState state;
  state.random = Random(seed);
  for (const StateVariable& s : graph_->states) state.values.push_back(s.initial.clone());
  return state;
}

void Program::check_inputs(std::span<const Datum* const> inputs) const {
  if (inputs.size() != input_ids_.size()) fail(ErrorCode::invalid_argument, "the model has ", input_ids_.size(), " inputs; ", inputs.size(), " were given");
  for (size_t i = 0; i < inputs.size(); ++i) {
    const Value* v = values_[input_ids_[i]];
    const Type actual = type_of(*inputs[i]);
    if (!compatible(v->type, actual))
      fail(ErrorCode::invalid_argument, "input '", v->name, "' is ", actual, "; the model expects ", to_string(v->type, *graph_->symbols));
  }
}

void Program::run(std::span<const Datum* const> inputs, std::span<Datum> outputs, std::span<const bool> bound, RunState& state, const ExecuteOptions& options) const {
  std::unique_ptr<Frame> frame;
  {
    std::lock_guard lock(mutex_);
    if (!frames_.empty()) {
      frame = std::move(frames_.back());
      frames_.pop_back();
    }
  }
  if (!frame) {
    check_inputs(inputs);
    frame = std::make_unique<Frame>(*this);
  }
  frame->run(inputs, outputs, bound, state, options);  // a frame that threw is dropped: it may be half bound
  std::lock_guard lock(mutex_);
  frames_.push_back(std::move(frame));
}

namespace {

bool same_type(const Type& a, const Type& b) {
  if (a.kind != b.kind || a.dtype != b.dtype || a.ranked != b.ranked || a.dims.size() != b.dims.size() || !a.element != !b.element) return false;
  if (a.element && !same_type(*a.element, *b.element)) return false;
  return std::equal(a.dims.begin(), a.dims.end(), b.dims.begin(), [](const Dim& x, const Dim& y) { return x.size == y.size; });
}

using Layouts = std::vector<std::shared_ptr<const Layout>>;

std::shared_ptr<const Layout> take(Layouts& cache, const std::vector<Type>& key) {
  for (size_t i = cache.size(); i-- > 0;) {
    const std::vector<Type>& other = cache[i]->key;
    if (other.size() != key.size() || !std::equal(key.begin(), key.end(), other.begin(), same_type)) continue;
    std::rotate(cache.begin() + static_cast<std::ptrdiff_t>(i), cache.begin() + static_cast<std::ptrdiff_t>(i) + 1, cache.end());
    return cache.back();
  }
  return nullptr;
}

void keep(Layouts& cache, std::shared_ptr<const Layout> layout, int limit) {
  if (static_cast<int>(cache.size()) >= limit && !cache.empty()) cache.erase(cache.begin());
  cache.push_back(std::move(layout));
}

}  // namespace

std::shared_ptr<const Layout> Program::layout(std::vector<Type> inputs) const {
  {
    std::lock_guard lock(mutex_);
    if (auto found = take(layouts_, inputs)) return found;
  }
  std::shared_ptr<const Layout> made = plan_first(std::move(inputs));
  std::lock_guard lock(mutex_);
  keep(layouts_, made, options_.cached_layouts);
  return made;
}

std::shared_ptr<const Layout> Program::next_layout(const std::shared_ptr<const Layout>& parent, std::vector<Type> open) const {
  {
    std::lock_guard lock(parent->mutex);
    if (auto found = take(parent->children, open)) return found;
  }
  std::shared_ptr<const Layout> made = plan_next(*parent, std::move(open));
  std::lock_guard lock(parent->mutex);
  keep(parent->children, made, std::max(1, options_.cached_layouts / 4));
  return made;
}

}  // namespace outpost
