// bound_outputs MODEL.onnx: a stream of frames through memory that is laid ready once. After the first frame nothing is
// allocated: the model reads `frame` and writes `scores` where they lie.
#include <outpost/outpost.h>

#include <algorithm>
#include <chrono>
#include <cstdio>

int main(int argc, char** argv) try {
  if (argc != 2) return std::fprintf(stderr, "usage: bound_outputs MODEL.onnx\n"), 2;
  const outpost::Session session(argv[1], {.threads = 1});
  std::vector<float> frame(3 * 64 * 64), scores(4);

  outpost::Binding binding(session);
  binding.input("image", outpost::Tensor::view(std::span(frame), {1, 3, 64, 64}));
  binding.output("probabilities", outpost::Tensor::view(std::span(scores), {1, 4}));

  const auto start = std::chrono::steady_clock::now();
  for (int t = 0; t < 30; ++t) {
    for (size_t i = 0; i < frame.size(); ++i) {  // a diamond that grows
      const int x = int(i % 64), y = int(i / 64 % 64);
      frame[i] = std::abs(x - 32) + std::abs(y - 32) < 8 + t / 2 ? 0.9f : 0.1f;
    }
    binding.run();
  }
  const double ms = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
  const auto best = std::max_element(scores.begin(), scores.end()) - scores.begin();
  std::printf("30 frames, %.2f ms each; the last is class %td\n", ms / 30, best);
} catch (const std::exception& error) {
  std::fprintf(stderr, "bound_outputs: %s\n", error.what());
  return 1;
}
