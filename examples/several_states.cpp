// several_states MODEL.onnx: one session, several users, each with what the model keeps between runs: a State. The model
// adds up what it is given (models/running_total.onnx); a language model's cache or a filter's memory works the same way.
#include <outpost/outpost.h>

#include <cstdio>
#include <thread>

int main(int argc, char** argv) try {
  if (argc != 2) return std::fprintf(stderr, "usage: several_states MODEL.onnx\n"), 2;
  const outpost::Session session(argv[1], {.threads = 1});

  // Ten runs, each continuing from where this state was left.
  const auto add_ten_times = [&](outpost::State& state, float x) {
    for (int i = 0; i < 10; ++i) session.run({{"x", outpost::Tensor::of({x})}}, {.state = &state});
  };
  outpost::State ann = session.new_state(), bob = session.new_state();
  std::thread other([&] { add_ten_times(bob, 100); });  // at the same time, on the same session
  add_ten_times(ann, 1);
  other.join();

  std::printf("ann %g, bob %g\n", ann.get("total").values<float>()[0], bob.get("total").values<float>()[0]);
} catch (const std::exception& error) {
  std::fprintf(stderr, "several_states: %s\n", error.what());
  return 1;
}
