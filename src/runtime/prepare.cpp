// See prepare.h.
#include "runtime/prepare.h"

#include <algorithm>
#include <atomic>
#include <memory>

#include "base/mapped_file.h"
#include "base/text.h"
#include "base/thread_pool.h"
#include "runtime/layout.h"

namespace outpost {
namespace {

class Preparing {
 public:
  Preparing(Graph& graph, const Preparation& how, int value_count) : graph_(graph), how_(how), readers_(static_cast<size_t>(value_count)) {
    for (const auto& v : graph.values()) {
      if (v->id() < 0 || !v->is_constant()) continue;
      const bool held = graph.is_output(v.get()) || std::any_of(graph.states.begin(), graph.states.end(), [&](const StateVariable& s) { return s.write == v.get(); });
      readers_[static_cast<size_t>(v->id())] = static_cast<int>(v->uses().size()) + held;
    }
  }

  void prepare(StepInfo& step, int index, int threads) {
    if (!step.def->prepare) return;
    const size_t count = step.inputs.size();
    std::vector<const Tensor*> constants(count, nullptr);
    const std::unique_ptr<bool[]> unread(new bool[count]());
    for (size_t i = 0; i < count; ++i) {
      const Value* v = step.node->input(static_cast<int>(i));
      if (v && v->is_constant()) constants[i] = &v->constant();
    }
    const std::string path = text(how_.path, index, '.');
    step.prepared = step.def->prepare(PrepareContext{*step.node, constants, threads, how_.store, path, {unread.get(), count}});
    for (size_t i = 0; i < count; ++i)
      if (unread[i] && constants[i]) consumed(step.node->input(static_cast<int>(i)));
  }

 private:
  // Values that planning may read stay: operators on small constants are computed by the plan.
  void consumed(Value* value) {
    const Tensor& tensor = value->constant();
    MappedFile::release_pages(tensor.raw(), tensor.bytes());
    if (readers_[static_cast<size_t>(value->id())].fetch_sub(1) == 1 && how_.let_go && tensor.count() > planned_value_limit) graph_.let_go(value);
  }

  Graph& graph_;
  const Preparation& how_;
  std::vector<std::atomic<int>> readers_;  // by value id: uses that have not said they are done with it
};

}  // namespace

void prepare_steps(Graph& graph, std::span<StepInfo> steps, int threads, const Preparation& how) {
  int values = 0;
  for (const auto& v : graph.values()) values = std::max(values, v->id() + 1);
  Preparing preparing(graph, how, values);
  ThreadPool::process().run(static_cast<int64_t>(steps.size()), threads,
                            [&](int64_t i) { preparing.prepare(steps[static_cast<size_t>(i)], static_cast<int>(i), threads); });
}

}  // namespace outpost
