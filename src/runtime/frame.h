// Frame: the memory of one run in progress. Bound to a layout it holds a View for every value and a ready RunContext for
// every step, so that a steady-state run patches the callers' addresses and calls the steps: nothing is allocated.
// Frames are kept by their program and reused; memory grows to what the largest run needed.
#pragma once
#include <array>
#include <map>

#include "runtime/layout.h"
#include "runtime/program.h"

namespace outpost {

class BodyRunner;

// The type of a thing at hand.
Type type_of(const Datum& datum);

class Frame final : public RunServices {
 public:
  explicit Frame(const Program& program);
  ~Frame() override;

  void run(std::span<const Datum* const> inputs, std::span<Datum> outputs, std::span<const bool> bound, RunState& state, const ExecuteOptions& options);

  // RunServices, for the step that runs now.
  View& allocate(int output, const Shape& shape) override;
  Datum input_datum(int i) override;
  void set_output_datum(int i, Datum datum) override;
  SubgraphRunner& subgraph(std::string_view attribute) override;
  void* temporary(size_t bytes) override;
  void check_interrupt() override;
  Random& random() override { return state_->random; }

  size_t remaining_bytes() const noexcept { return limit_ > used_ + text_used_ ? limit_ - used_ - text_used_ : 0; }
  const ExecuteOptions& options() const noexcept { return *options_; }
  RunState& state() noexcept { return *state_; }

 private:
  struct Patch { int value, index; };
  struct Segment {
    std::shared_ptr<const Layout> layout;
    std::shared_ptr<void> memory;        // arena, then scratch
    size_t memory_bytes = 0;
    std::vector<RunContext> contexts;
    std::vector<View*> arguments;
    std::vector<Patch> inputs, outputs, states;  // value <- index of the caller's
    std::vector<Patch> aliases;                  // value <- the value whose memory it shares
    std::vector<int> strings, owned;
  };

  bool same_inputs(std::span<const Datum* const> inputs) const;
  void bind(Segment& segment, std::shared_ptr<const Layout> layout);
  void bind_contexts(Segment& segment);
  void patch(Segment& segment, std::span<const Datum* const> inputs, std::span<Datum> outputs, std::span<const bool> bound);
  void execute(Segment& segment);
  void profile_step(RunContext& context, const Layout& layout, size_t index);
  bool same_open(const Layout& parent, const std::vector<Type>& key) const;
  std::vector<Type> open_types(const Layout& layout) const;
  void finish(const Layout& last, std::span<Datum> outputs, std::span<const bool> bound);
  Datum result(const Layout& last, int output);
  void keep_states(const Layout& last);
  void check_bound(int output, const Datum& out, DType dtype, const Shape& shape) const;
  void forget_after(size_t depth);
  void release();
  void charge(size_t bytes, std::string_view what);
  void expect_text(std::span<const View* const> inputs, int64_t elements) const;
  void count_text(const RunContext& context);
  Tensor fresh(std::span<Tensor> slots, DType dtype, const Shape& shape);

  const Program& program_;
  std::vector<View> views_;
  std::vector<Shape> open_shapes_;
  std::vector<char> open_;             // by value: its shape is found out by the run
  std::vector<Tensor> owned_;
  std::vector<Datum> datums_;
  std::vector<std::unique_ptr<Segment>> segments_;
  std::vector<std::array<Tensor, 2>> output_cache_;  // two: a loop holds the last iteration's while it makes the next
  std::vector<Tensor> state_cache_, contiguous_inputs_;
  std::vector<Tensor> temporaries_;
  size_t temporaries_used_ = 0;
  std::map<std::pair<const StepInfo*, std::string_view>, std::unique_ptr<BodyRunner>> bodies_;
  const StepInfo* step_ = nullptr;
  RunState* state_ = nullptr;
  const ExecuteOptions* options_ = nullptr;
  size_t limit_ = 0, used_ = 0, text_used_ = 0;  // text: the characters of this run's strings
  bool interruptible_ = false, has_datums_ = false;
  std::chrono::steady_clock::time_point started_;
};

}  // namespace outpost
