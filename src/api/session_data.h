// What a Session, its states and its bindings hold.
#pragma once
#include <mutex>

#include "api/model_data.h"
#include "outpost/session.h"
#include "runtime/program.h"

namespace outpost {

// `busy` is set while a run uses the state: two at once would mix up two conversations.
struct State::Data {
  RunState state;
  std::vector<std::string> names;
  std::vector<DType> dtypes;
  std::atomic<bool> busy{false};
};

struct Session::Data {
  Data(const Model& model, const SessionOptions& options) : model(model), options(options) {}

  Model model;
  SessionOptions options;
  std::shared_ptr<const std::vector<ValueInfo>> outputs;
  std::shared_ptr<const Program> program;
  std::vector<PassInfo> passes;
  bool stateful = false;  // has state variables or draws random numbers
  State own;

  void run(std::span<const Datum* const> inputs, std::span<Datum> results, std::span<const bool> bound, const RunOptions& options);

 private:
  void run_in(State::Data& state, std::span<const Datum* const> inputs, std::span<Datum> results, std::span<const bool> bound,
              const RunOptions& options);
};

}  // namespace outpost
