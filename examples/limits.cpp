// limits MODEL.onnx: a run that would not end (models/endless.onnx is a loop without an exit) is ended by a deadline, by
// another thread, and by its memory limit. The session is as good as new after each.
#include <outpost/outpost.h>

#include <cstdio>
#include <thread>

using namespace std::chrono_literals;

int main(int argc, char** argv) try {
  if (argc != 2) return std::fprintf(stderr, "usage: limits MODEL.onnx\n"), 2;
  const outpost::Session session(argv[1]);
  const auto attempt = [&](size_t count, const outpost::RunOptions& options) {
    try {
      session.run({{"x", outpost::Tensor(outpost::DType::f32, {int64_t(count)})}}, options);
    } catch (const outpost::Error& error) {
      std::printf("%s\n", error.what());
    }
  };

  attempt(4, {.deadline = std::chrono::steady_clock::now() + 50ms});

  std::atomic<bool> cancel{false};
  std::thread user([&] {
    std::this_thread::sleep_for(50ms);
    cancel = true;
  });
  attempt(4, {.cancel = &cancel});
  user.join();

  attempt(10'000'000, {.memory_limit_bytes = 16 << 20});
} catch (const std::exception& error) {
  std::fprintf(stderr, "limits: %s\n", error.what());
  return 1;
}
