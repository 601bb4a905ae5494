// See prepare.h. Operators see every constant at an address that suits its dtype: what the file has elsewhere is copied, for
// the time of the call where only the packed form is needed, for good where a run reads it.
#include "runtime/prepare.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <memory>

#include "base/mapped_file.h"
#include "base/text.h"
#include "base/thread_pool.h"
#include "runtime/layout.h"

namespace outpost {
namespace {

class Preparing {
 public:
  Preparing(Graph& graph, const Preparation& how, int value_count, int threads)
      : graph_(graph), how_(how), threads_(threads), readers_(static_cast<size_t>(value_count)), copies_(static_cast<size_t>(threads)) {
    for (const auto& v : graph.values()) {
      if (v->id() < 0 || !v->is_constant()) continue;
      const bool held = graph.is_output(v.get()) || std::any_of(graph.states.begin(), graph.states.end(), [&](const StateVariable& s) { return s.write == v.get(); });
      readers_[static_cast<size_t>(v->id())] = static_cast<int>(v->uses().size()) + held;
    }
  }

  void prepare(StepInfo& step, int index) {
    if (!step.def->prepare) return;
    const size_t count = step.inputs.size();
    std::vector<const Tensor*> constants(count, nullptr);
    std::vector<Tensor> copies(count);
    const std::unique_ptr<bool[]> unread(new bool[count]());
    for (size_t i = 0; i < count; ++i) {
      const Value* v = step.node->input(static_cast<int>(i));
      if (!v || !v->is_constant()) continue;
      constants[i] = &v->stored();
      if (v->is_odd()) constants[i] = &(copies[i] = copy_of(v->stored()));
    }
    const std::string path = text(how_.path, index, '.');
    step.prepared = step.def->prepare(PrepareContext{*step.node, constants, threads_, how_.store, path, {unread.get(), count}});
    for (size_t i = 0; i < count; ++i)
      if (constants[i]) read(step.node->input(static_cast<int>(i)), unread[i]);
  }

 private:
  // One buffer a thread serves weight after weight; a node with several odd constants takes more.
  Tensor copy_of(const Tensor& odd) {
    Tensor& buffer = copies_[static_cast<size_t>(ThreadPool::worker())];
    const bool free = buffer.defined() && buffer.buffer().owner.use_count() == 1 && buffer.bytes() >= odd.bytes();
    if (!free) buffer = Tensor(DType::u8, {static_cast<int64_t>(odd.bytes())});
    std::memcpy(buffer.raw(), odd.raw(), odd.bytes());
    return Tensor::share(buffer.buffer().owner, buffer.raw(), odd.dtype(), odd.shape());
  }

  // Values that planning may read stay: operators on small constants are computed by the plan.
  void read(Value* value, bool for_the_last_time) {
    const Tensor& tensor = value->stored();
    if (for_the_last_time || value->is_odd()) MappedFile::release_pages(tensor.raw(), tensor.bytes());
    if (!for_the_last_time || readers_[static_cast<size_t>(value->id())].fetch_sub(1) != 1) return;
    if (how_.let_go && tensor.count() > planned_value_limit) graph_.let_go(value);
  }

  Graph& graph_;
  const Preparation& how_;
  const int threads_;
  std::vector<std::atomic<int>> readers_;  // by value id: uses that have not said they are done with it
  std::vector<Tensor> copies_;             // by thread
};

bool suits_all_readers(const Graph& graph, const Value* v) {
  return !graph.is_output(v) && std::none_of(graph.states.begin(), graph.states.end(), [&](const StateVariable& s) { return s.write == v; }) &&
         std::all_of(v->uses().begin(), v->uses().end(), [](const Use& u) { return u.node->def->any_address; });
}

// What runs will read.
void straighten(Graph& graph) {
  for (const auto& v : graph.values()) {
    if (!v->is_constant() || !v->is_odd() || suits_all_readers(graph, v.get())) continue;
    const Tensor odd = v->stored();
    v->constant();
    MappedFile::release_pages(odd.raw(), odd.bytes());
  }
}

}  // namespace

void prepare_steps(Graph& graph, std::span<StepInfo> steps, int threads, const Preparation& how) {
  int values = 0;
  for (const auto& v : graph.values()) values = std::max(values, v->id() + 1);
  {
    Preparing preparing(graph, how, values, std::max(1, threads));
    ThreadPool::process().run(static_cast<int64_t>(steps.size()), threads,
                              [&](int64_t i) { preparing.prepare(steps[static_cast<size_t>(i)], static_cast<int>(i)); });
  }
  straighten(graph);
}

}  // namespace outpost
