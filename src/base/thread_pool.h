// One pool per process. A parallel call hands out tile indices from an atomic counter; the caller works too.
// Which thread takes a tile never changes a result: tiles are output tiles, and their number depends on shapes only.
// Workers spin briefly after work, then sleep; a forked child starts its own workers on first use.
#pragma once
#include <atomic>
#include <cstdint>

#include "base/function_ref.h"

namespace outpost {

class ThreadPool {
 public:
  static ThreadPool& process();
  // The number of hardware threads this process may use (its affinity mask).
  static int hardware_threads() noexcept;

  // Calls body(tile) for every tile in [0, tiles), on at most `threads` threads including this one. The first exception
  // is carried back after all have stopped. Nested calls run on the calling thread alone.
  void run(int64_t tiles, int threads, FunctionRef<void(int64_t tile)> body);

  // Which of the run's threads is executing: 0 (the caller) … threads-1. For per-thread scratch memory. 0 outside a run;
  // a nested run does not change it.
  static int worker() noexcept;

  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;

 private:
  ThreadPool() = default;
  struct State;
  State& state();
  std::atomic<State*> state_{nullptr};
};

}  // namespace outpost
