// What an operator sees while it runs: views of its inputs and outputs, scratch memory, threads, and the few services
// that only run time can give. Shapes were validated when the plan was made; values were not: check what you index with.
#pragma once
#include <span>

#include "base/function_ref.h"
#include "base/random.h"
#include "base/text.h"
#include "graph/graph.h"
#include "tensor/view.h"

namespace outpost {

// Runs a control-flow node's subgraph: implemented by the executor.
class SubgraphRunner {
 public:
  virtual ~SubgraphRunner() = default;
  // `inputs` as the subgraph's inputs (captures included); returns its outputs, valid as long as the caller holds them.
  virtual std::vector<Datum> run(std::span<const Datum> inputs) = 0;
};

// The executor's side of a run; operators reach it through RunContext.
class RunServices {
 public:
  virtual ~RunServices() = default;
  virtual View& allocate(int output, const Shape& shape) = 0;  // see RunContext::allocate
  virtual Datum input_datum(int i) = 0;
  virtual void set_output_datum(int i, Datum) = 0;
  virtual SubgraphRunner& subgraph(std::string_view attribute) = 0;
  virtual void* temporary(size_t bytes) = 0;
  virtual void check_interrupt() = 0;
  virtual Random& random() = 0;
};

class RunContext {
 public:
  const Node* node_ = nullptr;
  const View* const* inputs_ = nullptr;  // null entries for absent inputs
  View* const* outputs_ = nullptr;
  int input_count_ = 0, output_count_ = 0, threads_ = 1;
  const void* prepared_ = nullptr;
  void* scratch_ = nullptr;
  RunServices* services_ = nullptr;

  const Node& node() const noexcept { return *node_; }
  const Attributes& attributes() const noexcept { return node_->attributes; }
  int inputs() const noexcept { return input_count_; }
  int outputs() const noexcept { return output_count_; }
  bool has(int i) const noexcept { return i < input_count_ && inputs_[i] != nullptr; }
  bool wants(int i) const noexcept { return i < output_count_ && outputs_[i] != nullptr; }
  const View& in(int i) const noexcept { return *inputs_[i]; }
  View& out(int i) const noexcept { return *outputs_[i]; }

  // What OpDef::prepare returned for this node (weights packed, attributes parsed).
  template <class T>
  const T& prepared() const noexcept { return *static_cast<const T*>(prepared_); }
  // As many bytes as OpDef::scratch asked for, 64-byte aligned.
  template <class T = void>
  T* scratch() const noexcept { return static_cast<T*>(scratch_); }

  // An output whose shape only the run knows (NonZero): memory for it, counted against the run's memory limit. Call once.
  // For string outputs the elements are constructed.
  View& allocate(int output, const Shape& shape) { return services_->allocate(output, shape); }
  // Memory for the duration of this call, when the size depends on values (prefer OpDef::scratch).
  void* temporary(size_t bytes) { return services_->temporary(bytes); }
  // Sequences, optionals and maps; a tensor input is wrapped as a borrowed view, good for this call. set_datum copies
  // what is borrowed, so a sequence never outlives its tensors.
  Datum datum(int i) { return services_->input_datum(i); }
  void set_datum(int i, Datum d) { services_->set_output_datum(i, std::move(d)); }
  SubgraphRunner& subgraph(std::string_view attribute) { return services_->subgraph(attribute); }
  // Throws Error(cancelled | deadline) when the run should stop; call it in long loops.
  void check_interrupt() { services_->check_interrupt(); }
  Random& random() { return services_->random(); }

  int threads() const noexcept { return threads_; }
  // Inside a parallel body: which of the threads() this is, for slicing scratch memory per thread.
  static int worker() noexcept;
  // body(tile) for tiles [0, tiles), on all threads. Tiles must depend on shapes only.
  void parallel(int64_t tiles, FunctionRef<void(int64_t tile)> body) const;
  // body(begin, end) over [0, count) in tiles of `grain` elements (a constant of the operator, not of the machine).
  void parallel_ranges(int64_t count, int64_t grain, FunctionRef<void(int64_t begin, int64_t end)> body) const;

  // Throws Error(invalid_data): "Gather 'g' : index 7 is outside [-5, 4] …".
  template <class... A>
  [[noreturn]] void fail(const A&... what) const { fail_text(text(what...)); }
  template <class... A>
  void require(bool holds, const A&... what) const { if (!holds) fail_text(text(what...)); }

 private:
  [[noreturn]] void fail_text(const std::string& what) const;
};

}  // namespace outpost
