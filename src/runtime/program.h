// Program: a graph made ready to run. Immutable and shared by threads: the order of steps, constants, packed weights,
// compiled bodies of control flow. For given input shapes it makes a Layout (sizes and offsets), kept in a bounded
// cache; a Frame is the memory of one run in progress.
#pragma once
#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "graph/graph.h"
#include "ops/op.h"
#include "runtime/state.h"

namespace outpost {

class Program;
class Frame;
struct Layout;

struct ProgramOptions {
  int threads = 1;
  int cached_layouts = 32;     // per program (bodies of control flow have their own)
  bool debug_fill = false;     // fill the arena with NaN bytes before each run: finds reads of what was not written
};

// How compile() prepares the steps.
struct Preparation {
  PackedStore* store = nullptr;  // of packed weights; null: memory of their own
  bool let_go = false;           // the graph is the program's alone: constants that only packed forms stand for lose their memory
  std::string path = {};         // of a body within the program
};

struct StepProfile {
  const Node* node;
  int64_t start_ns, duration_ns;  // start since the run began
  double flops, bytes;
  std::string shapes;             // of inputs and outputs, "f32[2,3] f32[3] -> f32[2,3]"
};

struct ExecuteOptions {
  const std::atomic<bool>* cancel = nullptr;
  std::chrono::steady_clock::time_point deadline = std::chrono::steady_clock::time_point::max();
  size_t memory_limit_bytes = 0;   // arena and outputs of this run; 0: three quarters of the machine's memory
  std::vector<StepProfile>* profile = nullptr;
  int threads = 0;                 // 0: the program's
};

// A node as the executor knows it.
struct StepInfo {
  const Node* node = nullptr;
  const OpDef* def = nullptr;
  std::vector<int> inputs, outputs;   // value ids; -1 = absent
  std::shared_ptr<const void> prepared;
  std::vector<std::pair<std::string, std::shared_ptr<const Program>>> bodies;
};

class Program {
 public:
  // Every node must have a `run` (passes/expand.h sees to it). Throws Error.
  static std::shared_ptr<const Program> compile(std::shared_ptr<const Graph> graph, const ProgramOptions& options, const Preparation& how = {});
  ~Program();

  // Inputs in the graph's order (without state variables). `outputs` has one entry per graph output; one whose `bound`
  // flag is set (an empty span: none are) is written where its tensor lies if dtype and shape agree, else it is an error.
  void run(std::span<const Datum* const> inputs, std::span<Datum> outputs, std::span<const bool> bound, RunState& state,
           const ExecuteOptions& options) const;
  RunState new_state(uint64_t seed) const;

  const Graph& graph() const noexcept { return *graph_; }
  const ProgramOptions& options() const noexcept { return options_; }
  const std::vector<StepInfo>& steps() const noexcept { return steps_; }
  int value_count() const noexcept { return value_count_; }
  int input_count() const noexcept { return static_cast<int>(input_ids_.size()); }
  // Null where there is none or where only its packed form is left.
  const Tensor* constant(int id) const noexcept { return constants_[id] && !is_let_go(*constants_[id]) ? constants_[id] : nullptr; }

  // The plan for these input types, from the cache or made now. Throws Error when the operators refuse the shapes.
  std::shared_ptr<const Layout> layout(std::vector<Type> inputs) const;
  // The plan that goes on after `parent`, whose open values turned out to have these types.
  std::shared_ptr<const Layout> next_layout(const std::shared_ptr<const Layout>& parent, std::vector<Type> open) const;

 private:
  friend class Frame;
  friend class Planner;
  Program() = default;
  void check_inputs(std::span<const Datum* const> inputs) const;
  std::shared_ptr<Layout> plan_first(std::vector<Type> inputs) const;
  std::shared_ptr<Layout> plan_next(const Layout& parent, std::vector<Type> open) const;

  std::shared_ptr<const Graph> graph_;
  ProgramOptions options_;
  std::vector<StepInfo> steps_;
  std::vector<const Value*> values_;        // by id
  std::vector<const Tensor*> constants_;    // by id, null when not constant
  std::vector<int> input_ids_, output_ids_; // graph inputs without state; graph outputs
  std::vector<int> state_reads_, state_writes_;
  int value_count_ = 0;

  mutable std::mutex mutex_;                // guards the two below
  mutable std::vector<std::unique_ptr<Frame>> frames_;
  mutable std::vector<std::shared_ptr<const Layout>> layouts_;  // most recently used last
};

size_t default_memory_limit() noexcept;

}  // namespace outpost
