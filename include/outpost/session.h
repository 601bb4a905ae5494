// Session: a model made ready to run: optimised, compiled, its weights packed.
//
//   auto session = outpost::Session(model, {.threads = 4});
//   auto outputs = session.run({{"image", outpost::Tensor::view(std::span(pixels), {1, 3, 224, 224})}});
//   auto scores  = outputs["scores"].values<float>();
//
// Several sessions may stand on one model. Several threads may run one session at the same time; where the model keeps
// state or draws random numbers, each with a State of its own.
#pragma once
#include <atomic>
#include <chrono>
#include <functional>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "outpost/model.h"
#include "outpost/tensor.h"

namespace outpost {

class Session;
class Program;    // the engine's own representation (src/runtime/program.h)
struct RunState;

// Arithmetic of matrix products and convolutions; storage and everything else keep the model's types.
enum class Precision : uint8_t {
  f32,   // as the model says
  bf16,  // factors rounded to bfloat16 where the processor multiplies them faster, sums in f32: relative error about 2^-8
};

struct SessionOptions {
  int threads = 0;                            // 0: every hardware thread this process may use
  Precision precision = Precision::f32;
  size_t memory_limit_bytes = 0;              // default of RunOptions; 0: three quarters of the machine's memory
  uint64_t seed = 0;                          // of the session's own state and of new_state()
  int cached_plans = 32;                      // plans kept for the input shapes met most recently
  std::vector<std::string> passes_off = {};   // names (`outpost inspect --passes`) or "all": leaves optimisations out
  bool debug_fill = false;                    // fills memory with NaN bytes before each run
  // A folder (made when missing) that keeps the optimised graph and packed weights of models read from files: opening the
  // same file again maps them. About as large as the weights. Empty: none. Files there that do not fit are not used.
  std::string cache_directory = "";
  bool verify_cache = false;                  // also compares contents, which costs reading them and the model's files
};

// What a model keeps between runs: caches, recurrent state, running statistics, the stream of random numbers. Made by
// Session::new_state(), good for that session, used by one run at a time. Movable; may outlive the session.
class State {
 public:
  State() noexcept;  // holds nothing; to be assigned to
  State(State&&) noexcept;
  State& operator=(State&&) noexcept;
  ~State();

  std::vector<std::string> names() const;
  // Throws Error(not_found). The tensor shares the state's memory until the next run.
  const Tensor& get(std::string_view name) const;
  // Copies `value`; throws Error(not_found | invalid_argument: another dtype).
  void set(std::string_view name, const Tensor& value);
  // The random stream: a seed and how many words have been drawn. Saving these and every value saves the state.
  std::pair<uint64_t, uint64_t> random() const;
  void set_random(uint64_t seed, uint64_t drawn);

 private:
  friend class Session;
  friend class Binding;
  struct Data;
  std::unique_ptr<Data> data_;
};

// One step of a run.
struct ProfileEntry {
  std::string op, node;  // operator, and the node's name in the model (may be empty)
  int64_t start_ns = 0;  // since the run began
  int64_t duration_ns = 0;
  double flops = 0, bytes = 0;
  std::string shapes;    // "f32[1,3,224,224] f32[64,3,7,7] -> f32[1,64,112,112]"
};

struct RunOptions {
  State* state = nullptr;                      // null: the session's own
  const std::atomic<bool>* cancel = nullptr;   // set it from any thread to end the run with Error(cancelled)
  std::chrono::steady_clock::time_point deadline = std::chrono::steady_clock::time_point::max();
  size_t memory_limit_bytes = 0;               // of this run's working memory and outputs; 0: the session's
  std::vector<ProfileEntry>* profile = nullptr;
  int threads = 0;                             // fewer than the session's; 0: the session's
};

struct NamedDatum {
  std::string_view name;
  Datum value;
};

// The results of a run, in the model's order. Their memory belongs to the caller (copies share it).
class Outputs {
 public:
  size_t size() const noexcept { return values_.size(); }
  // The tensor by position or name; throws Error(not_found), or Error(invalid_argument) for one that is not a tensor.
  const Tensor& operator[](size_t index) const { return datum(index).tensor(); }
  const Tensor& operator[](std::string_view name) const { return datum(name).tensor(); }
  const Datum& datum(size_t index) const;
  const Datum& datum(std::string_view name) const;
  const std::string& name(size_t index) const;

 private:
  friend class Session;
  std::vector<Datum> values_;
  std::shared_ptr<const std::vector<ValueInfo>> infos_;
};

// Inputs and outputs laid ready once and run many times: no names are looked up and, with outputs bound, nothing is
// allocated. Used by one thread at a time; several bindings of one session may run at once. Keeps the session alive.
class Binding {
 public:
  explicit Binding(const Session& session);
  Binding(Binding&&) noexcept;
  Binding& operator=(Binding&&) noexcept;
  ~Binding();

  // The value is kept (borrowed memory stays borrowed: what it holds when run() is called counts). Throws Error(not_found).
  Binding& input(size_t index, Datum value);
  Binding& input(std::string_view name, Datum value);
  // The run writes into this memory; dtype and shape must be those of the result, else the run is an error.
  Binding& output(size_t index, Tensor memory);
  Binding& output(std::string_view name, Tensor memory);
  // Results go to fresh memory again.
  Binding& release_output(size_t index);

  // Throws Error: invalid_argument (an input is missing or of another type), invalid_data, limit, cancelled, deadline.
  void run(const RunOptions& options = {});
  // The result of the last run.
  const Datum& result(size_t index) const;
  const Datum& result(std::string_view name) const;

 private:
  struct Data;
  std::unique_ptr<Data> data_;
};

// What a run costs for given input shapes.
struct PlanInfo {
  struct Step {
    std::string op, domain, node;
    std::vector<std::string> outputs;  // "f32[1,64,112,112]"
    double flops = 0, bytes = 0;
  };
  size_t arena_bytes = 0;    // memory for intermediate values, reused between runs
  size_t live_bytes = 0;     // the largest set of values alive at one time: no plan can do with less
  size_t scratch_bytes = 0;  // working memory of the neediest operator
  size_t weights_bytes = 0;  // constants, as stored
  double flops = 0;          // of the steps whose shapes are known
  double bytes = 0;          // read and written by them
  bool complete = true;      // false: shapes behind some steps depend on data
  std::vector<Step> steps;
};

struct PassInfo {
  std::string name;
  int changes = 0;
  double milliseconds = 0;
};

class Session {
 public:
  // Throws Error(invalid_model | unsupported | limit).
  explicit Session(const Model& model, const SessionOptions& options = {});
  // Loads the file first.
  explicit Session(const std::string& path, const SessionOptions& options = {}) : Session(Model::load(path), options) {}

  const std::vector<ValueInfo>& inputs() const noexcept;
  const std::vector<ValueInfo>& outputs() const noexcept;
  const SessionOptions& options() const noexcept;  // with the number of threads in effect

  // Every input by its name, in any order. Shapes may change from run to run where the model leaves them open. Memory that
  // inputs view must stay as it is until the call returns. Thread-safe. Throws Error as Binding::run.
  Outputs run(std::span<const NamedDatum> inputs, const RunOptions& options = {}) const;
  Outputs run(std::initializer_list<NamedDatum> inputs, const RunOptions& options = {}) const {
    return run(std::span(inputs.begin(), inputs.size()), options);
  }
  // Results named in `outputs` are written to the tensors given there; the others are returned as usual.
  Outputs run(std::span<const NamedDatum> inputs, std::span<const NamedDatum> outputs, const RunOptions& options = {}) const;
  Outputs run(std::initializer_list<NamedDatum> inputs, std::initializer_list<NamedDatum> outputs,
              const RunOptions& options = {}) const {
    return run(std::span(inputs.begin(), inputs.size()), std::span(outputs.begin(), outputs.size()), options);
  }

  // As a model is before its first run; the random stream starts from the session's seed.
  State new_state() const;
  State new_state(uint64_t seed) const;
  // Puts the session's own state back to the beginning.
  void reset();

  // The plan for inputs of these shapes, one per input. Throws Error when the operators refuse them.
  PlanInfo plan(std::span<const Shape> shapes) const;
  // What optimising did, pass by pass.
  const std::vector<PassInfo>& passes() const noexcept;
  const Program& program() const noexcept;

 private:
  friend class Binding;
  struct Data;
  std::shared_ptr<Data> data_;
};

}  // namespace outpost
