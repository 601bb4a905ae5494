// Runs the body of a control-flow node from inside a run: same random stream, options and memory limit.
#pragma once
#include "runtime/frame.h"

namespace outpost {

class BodyRunner final : public SubgraphRunner {
 public:
  BodyRunner(Frame& frame, std::shared_ptr<const Program> body) : frame_(frame), body_(std::move(body)), state_(body_->new_state(0)) {}
  std::vector<Datum> run(std::span<const Datum> inputs) override;

 private:
  Frame& frame_;
  std::shared_ptr<const Program> body_;
  RunState state_;
  std::vector<const Datum*> pointers_;
};

}  // namespace outpost
