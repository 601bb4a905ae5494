// State: what outlives a run, and the rule that one run at a time uses it.
#include <algorithm>
#include <cstring>

#include "api/session_data.h"
#include "base/text.h"

namespace outpost {
namespace {

// Marks a state as in use for the time of a run.
class InUse {
 public:
  InUse(std::atomic<bool>& busy, bool own) : busy_(busy) {
    if (busy_.exchange(true, std::memory_order_acquire))
      fail(ErrorCode::invalid_argument, own ? "the session's own state is in use by another run; give each thread a state from new_state()"
                                            : "the state is in use by another run");
  }
  ~InUse() { busy_.store(false, std::memory_order_release); }
  InUse(const InUse&) = delete;

 private:
  std::atomic<bool>& busy_;
};

}  // namespace

State::State() noexcept = default;
State::State(State&&) noexcept = default;
State& State::operator=(State&&) noexcept = default;
State::~State() = default;

std::vector<std::string> State::names() const { return data_ ? data_->names : std::vector<std::string>(); }

const Tensor& State::get(std::string_view name) const {
  for (size_t i = 0; data_ && i < data_->names.size(); ++i)
    if (data_->names[i] == name) return data_->state.values[i];
  fail(ErrorCode::not_found, "the state has no variable '", name, "'");
}

void State::set(std::string_view name, const Tensor& value) {
  Tensor& mine = const_cast<Tensor&>(get(name));
  const DType expected = data_->dtypes[static_cast<size_t>(&mine - data_->state.values.data())];
  if (value.dtype() != expected)
    fail(ErrorCode::invalid_argument, "state variable '", name, "' is ", expected, "; ", value.dtype(), " was given");
  mine = value.clone();
}

std::pair<uint64_t, uint64_t> State::random() const {
  return data_ ? std::pair(data_->state.random.seed(), data_->state.random.counter()) : std::pair<uint64_t, uint64_t>();
}

void State::set_random(uint64_t seed, uint64_t drawn) {
  if (!data_) fail(ErrorCode::invalid_argument, "this state holds nothing; make one with Session::new_state()");
  data_->state.random = Random(seed, drawn);
}

State Session::new_state() const { return new_state(data_->options.seed); }

State Session::new_state(uint64_t seed) const {
  State state;
  state.data_ = std::make_unique<State::Data>();
  state.data_->state = data_->program->new_state(seed);
  for (const StateVariable& s : data_->program->graph().states) {
    state.data_->names.push_back(s.name);
    state.data_->dtypes.push_back(s.initial.dtype());
  }
  return state;
}

void Session::reset() { data_->own = new_state(); }

void Session::Data::run(std::span<const Datum* const> inputs, std::span<Datum> results, std::span<const bool> bound,
                        const RunOptions& run_options) {
  if (State* given = run_options.state) {
    if (!given->data_) fail(ErrorCode::invalid_argument, "the state of this run holds nothing; make one with Session::new_state()");
    if (given->data_->state.values.size() != program->graph().states.size())
      fail(ErrorCode::invalid_argument, "the state of this run was made by another session");
    const InUse guard(given->data_->busy, false);
    run_in(*given->data_, inputs, results, bound, run_options);
  } else if (stateful) {
    const InUse guard(own.data_->busy, true);
    run_in(*own.data_, inputs, results, bound, run_options);
  } else {
    State::Data nothing;
    run_in(nothing, inputs, results, bound, run_options);
  }
}

void Session::Data::run_in(State::Data& state, std::span<const Datum* const> inputs, std::span<Datum> results, std::span<const bool> bound,
                           const RunOptions& run_options) {
  std::vector<StepProfile> steps;
  program->run(inputs, results, bound, state.state,
               {.cancel = run_options.cancel,
                .deadline = run_options.deadline,
                .memory_limit_bytes = run_options.memory_limit_bytes ? run_options.memory_limit_bytes : options.memory_limit_bytes,
                .profile = run_options.profile ? &steps : nullptr,
                .threads = run_options.threads});
  if (!run_options.profile) return;
  for (StepProfile& s : steps)
    run_options.profile->push_back({s.node->op, s.node->name, s.start_ns, s.duration_ns, s.flops, s.bytes, std::move(s.shapes)});
}

}  // namespace outpost
