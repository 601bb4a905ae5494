// The pool: every tile once, exceptions carried back, nesting serial, callers side by side, fork, silence when idle.
#include "base/thread_pool.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace outpost {
namespace {

double process_cpu_seconds() {
  timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return double(t.tv_sec) + 1e-9 * double(t.tv_nsec);
}

bool runs_every_tile_once(int64_t tiles, int threads) {
  std::vector<int> seen(static_cast<size_t>(tiles));
  ThreadPool::process().run(tiles, threads, [&](int64_t tile) { ++seen[static_cast<size_t>(tile)]; });
  for (int count : seen)
    if (count != 1) return false;
  return true;
}

TEST(ThreadPool, every_tile_runs_once) {
  for (int threads : {-1, 0, 1, 2, 3, 16, 100'000})
    for (int64_t tiles : {0, 1, 2, 3, 17, 1000, 5000}) EXPECT_TRUE(runs_every_tile_once(tiles, threads)) << tiles << " on " << threads;
}

TEST(ThreadPool, many_tiny_runs) {
  std::vector<int64_t> sums(4);
  for (int i = 0; i < 20'000; ++i) ThreadPool::process().run(4, 2, [&](int64_t tile) { sums[static_cast<size_t>(tile)] += tile + i; });
  for (int64_t tile = 0; tile < 4; ++tile) EXPECT_EQ(sums[static_cast<size_t>(tile)], 20'000 * tile + int64_t{19'999} * 10'000);
}

TEST(ThreadPool, the_first_exception_comes_back_and_the_pool_lives_on) {
  for (int threads : {1, 2, 3, 8}) {
    try {
      ThreadPool::process().run(100, threads, [](int64_t tile) {
        if (tile >= 40) throw std::runtime_error("tile " + std::to_string(tile));
      });
      FAIL() << "no exception";
    } catch (const std::runtime_error& e) {
      EXPECT_EQ(std::string(e.what()).substr(0, 5), "tile ");
    }
    EXPECT_TRUE(runs_every_tile_once(100, threads));
  }
}

TEST(ThreadPool, nested_runs_stay_on_their_thread) {
  std::vector<int> counts(8 * 16);
  std::vector<int> strays(8);
  ThreadPool::process().run(8, 4, [&](int64_t outer) {
    auto self = std::this_thread::get_id();
    ThreadPool::process().run(16, 4, [&](int64_t inner) {
      ++counts[static_cast<size_t>(outer * 16 + inner)];
      strays[static_cast<size_t>(outer)] += std::this_thread::get_id() != self;
    });
  });
  EXPECT_EQ(counts, std::vector<int>(8 * 16, 1));
  EXPECT_EQ(strays, std::vector<int>(8, 0));
}

TEST(ThreadPool, workers_of_a_run_are_numbered_without_gaps_or_doubles) {
  for (int i = 0; i < 500; ++i) {
    std::vector<std::atomic<int>> inside(4);
    std::atomic<int> bad{0};
    ThreadPool::process().run(64, 4, [&](int64_t) {
      int worker = ThreadPool::worker();
      if (worker < 0 || worker >= 4) ++bad;
      else if (inside[static_cast<size_t>(worker)]++ != 0) ++bad;  // two threads under one number
      ThreadPool::process().run(2, 2, [&](int64_t) { bad += ThreadPool::worker() != worker; });
      --inside[static_cast<size_t>(worker)];
    });
    ASSERT_EQ(bad, 0);
  }
  EXPECT_EQ(ThreadPool::worker(), 0);
}

TEST(ThreadPool, nested_exception_comes_back) {
  auto nested = [] {
    ThreadPool::process().run(4, 4, [](int64_t) {
      ThreadPool::process().run(4, 4, [](int64_t inner) {
        if (inner == 2) throw std::logic_error("inner");
      });
    });
  };
  EXPECT_THROW(nested(), std::logic_error);
  EXPECT_TRUE(runs_every_tile_once(64, 4));
}

TEST(ThreadPool, callers_side_by_side) {
  std::vector<std::thread> callers;  // more than the pool has slots
  std::vector<int> bad(24);
  for (size_t c = 0; c < bad.size(); ++c)
    callers.emplace_back([&bad, c] {
      for (int i = 0; i < 200; ++i) {
        bool threw = false;
        try {
          ThreadPool::process().run(16, 3, [&](int64_t tile) {
            if (c % 5 == 0 && tile == 11) throw c;
          });
        } catch (size_t who) {
          threw = who == c;
        }
        bad[c] += threw != (c % 5 == 0) || !runs_every_tile_once(33, 3);
      }
    });
  for (auto& caller : callers) caller.join();
  EXPECT_EQ(bad, std::vector<int>(24, 0));
}

TEST(ThreadPool, a_forked_child_has_workers_of_its_own) {
#if defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "ThreadSanitizer allows no threads after a fork";
#endif
  ASSERT_TRUE(runs_every_tile_once(1000, 3));
  pid_t child = fork();
  if (child == 0) _exit(runs_every_tile_once(1000, 3) && runs_every_tile_once(1000, 4) ? 0 : 1);
  ASSERT_GT(child, 0);
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  EXPECT_TRUE(runs_every_tile_once(1000, 3));
}

TEST(ThreadPool, idle_workers_are_silent) {
  ASSERT_TRUE(runs_every_tile_once(100, 2));
  std::this_thread::sleep_for(std::chrono::milliseconds(2));
  double before = process_cpu_seconds();
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  EXPECT_LT(process_cpu_seconds() - before, 500e-6);  // the sleeping test itself costs some of it
}

}  // namespace
}  // namespace outpost
