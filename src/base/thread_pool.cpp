// Workers look for open jobs in a fixed array of slots, so that several callers share them and nothing is allocated.
//
// A slot's `word` is the whole protocol: invitations left (high half), workers inside (low bits) and whether the owner
// sleeps on it. A worker enters by turning an invitation into a presence, so a slot's fields are stable while anyone is
// inside; the owner withdraws the invitations left when the tiles are gone, and waits only for those who came.
// Workers sleep on `bell`: read it, search the slots, and sleep only if it has not rung since.
#include "base/thread_pool.h"

#include <chrono>
#include <exception>
#include <memory>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

#if defined(__unix__) || defined(__APPLE__)
#include <pthread.h>
#include <signal.h>
#define OUTPOST_HAS_FORK 1
#endif
#if defined(__linux__)
#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif
#if defined(__x86_64__) || defined(__i386__)
#include <immintrin.h>
#endif

namespace outpost {
namespace {

constexpr int max_workers = 255;
constexpr int slot_count = 16;  // callers beyond that work alone
constexpr std::chrono::microseconds spin_time{20};
constexpr uint32_t present = 1, owner_sleeps = 1u << 15, invited = 1u << 16, present_mask = owner_sleeps - 1;

thread_local bool inside_run = false;
thread_local int worker_in_run = 0;

void pause_briefly() noexcept {
#if defined(__x86_64__) || defined(__i386__)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Sleeps while `word` holds `seen`; may return early.
void sleep_on(std::atomic<uint32_t>& word, uint32_t seen) noexcept {
#if defined(__linux__)
  syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, seen, nullptr, nullptr, 0);
#else
  word.wait(seen);
#endif
}

void wake(std::atomic<uint32_t>& word, int sleepers) noexcept {
#if defined(__linux__)
  syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, sleepers, nullptr, nullptr, 0);
#else
  if (sleepers == 1) word.notify_one();
  else word.notify_all();
#endif
}

// Holds for at most spin_time; true as soon as done() is.
template <class F>
bool spin_until(F done) {
  auto deadline = std::chrono::steady_clock::now() + spin_time;
  do {
    for (int i = 0; i < 32; ++i) {
      if (done()) return true;
      pause_briefly();
    }
  } while (std::chrono::steady_clock::now() < deadline);
  return false;
}

struct alignas(64) Slot {
  std::atomic<bool> taken{false};
  std::atomic<uint32_t> word{0};
  const FunctionRef<void(int64_t)>* body = nullptr;
  int64_t tiles = 0, chunk = 1;
  std::exception_ptr error;
  alignas(64) std::atomic<int64_t> next{0};
  std::atomic<bool> failed{false};

  // Takes tiles until there are none, or until someone failed.
  void work() noexcept {
    struct Inside {
      Inside() { inside_run = true; }
      ~Inside() { inside_run = false; }
    } inside;
    while (!failed.load(std::memory_order_relaxed)) {
      int64_t first = next.fetch_add(chunk, std::memory_order_relaxed);
      if (first >= tiles) return;
      int64_t last = tiles - first < chunk ? tiles : first + chunk;
      try {
        for (int64_t tile = first; tile < last; ++tile) (*body)(tile);
      } catch (...) {
        if (!failed.exchange(true, std::memory_order_relaxed)) error = std::current_exception();
      }
    }
  }

  // The number of the invitation taken, which names the worker within this run; 0 when there was none.
  int enter() noexcept {
    uint32_t seen = word.load(std::memory_order_relaxed);
    while (seen >= invited)
      if (word.compare_exchange_weak(seen, seen - invited + present, std::memory_order_acquire)) return static_cast<int>(seen / invited);
    return 0;
  }

  void leave() noexcept {
    if (word.fetch_sub(present, std::memory_order_acq_rel) == (owner_sleeps | present)) wake(word, 1);
  }

  // The owner's last word: nobody new may enter, and those inside finish.
  void close(bool may_spin) noexcept {
    word.fetch_and(invited - 1, std::memory_order_acquire);
    auto empty = [&] { return (word.load(std::memory_order_acquire) & present_mask) == 0; };
    if (empty() || (may_spin && spin_until(empty))) return;
    uint32_t seen = word.fetch_or(owner_sleeps, std::memory_order_acquire) | owner_sleeps;
    while (seen & present_mask) {
      sleep_on(word, seen);
      seen = word.load(std::memory_order_acquire);
    }
    word.store(0, std::memory_order_relaxed);
  }
};

}  // namespace

struct ThreadPool::State {
  Slot slots[slot_count];
  alignas(64) std::atomic<uint32_t> bell{0};
  std::atomic<int> sleepers{0};
  std::atomic<bool> stopping{false};
  std::atomic<int> worker_count{0};
  const int hardware = hardware_threads();
  std::mutex growing;
  std::vector<std::thread> workers;

  // Spinning helps only while every thread has a core.
  bool may_spin() const noexcept { return worker_count.load(std::memory_order_relaxed) < hardware; }

  bool work_somewhere() noexcept {
    for (auto& slot : slots) {
      worker_in_run = slot.enter();
      if (worker_in_run == 0) continue;
      slot.work();
      slot.leave();
      return true;
    }
    return false;
  }

  void worker() noexcept {
    bool worked = false;
    while (!stopping.load(std::memory_order_relaxed)) {
      uint32_t heard = bell.load(std::memory_order_acquire);
      if (work_somewhere()) {
        worked = true;
        continue;
      }
      auto rung = [&] { return bell.load(std::memory_order_relaxed) != heard; };
      if (worked && may_spin() && spin_until(rung)) continue;
      sleepers.fetch_add(1);
      if (!rung()) sleep_on(bell, heard);
      sleepers.fetch_sub(1);
      worked = true;  // too late for what rang, perhaps, but in time for the next of a row of short runs
    }
  }

  void ring(int helpers) noexcept {
    bell.fetch_add(1);
    int asleep = sleepers.load();
    if (asleep > 0) wake(bell, asleep < helpers ? asleep : helpers);
  }

  // Makes sure that `wanted` workers exist, or as many as the system grants.
  void grow(int wanted) {
    std::lock_guard lock(growing);
    if (stopping) return;
#if OUTPOST_HAS_FORK
    sigset_t all, before;  // the application's signals are for the application's threads
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
#endif
    try {
      while (static_cast<int>(workers.size()) < wanted) workers.emplace_back([this] { worker(); });
    } catch (const std::system_error&) {
    }
    worker_count = static_cast<int>(workers.size());
#if OUTPOST_HAS_FORK
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
#endif
  }

  Slot* take_slot() noexcept {
    for (auto& slot : slots)
      if (!slot.taken.load(std::memory_order_relaxed) && !slot.taken.exchange(true, std::memory_order_acquire)) return &slot;
    return nullptr;
  }
};

int ThreadPool::worker() noexcept { return worker_in_run; }

ThreadPool& ThreadPool::process() {
  static ThreadPool pool;
#if OUTPOST_HAS_FORK
  // The child has none of the parent's workers: it forgets them, and whatever their locks were doing.
  static const int registered = pthread_atfork(nullptr, nullptr, [] { pool.state_.store(nullptr); });
  static_cast<void>(registered);
#endif
  return pool;
}

int ThreadPool::hardware_threads() noexcept {
#if defined(__linux__)
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set) > 0 ? CPU_COUNT(&set) : 1;
#endif
  int count = static_cast<int>(std::thread::hardware_concurrency());
  return count > 0 ? count : 1;
}

ThreadPool::State& ThreadPool::state() {
  State* state = state_.load(std::memory_order_acquire);
  if (state) return *state;
  auto fresh = std::make_unique<State>();
  if (state_.compare_exchange_strong(state, fresh.get())) state = fresh.release();
  return *state;
}

void ThreadPool::run(int64_t tiles, int threads, FunctionRef<void(int64_t tile)> body) {
  int helpers = static_cast<int>(tiles < threads ? tiles : threads) - 1;
  if (helpers > max_workers) helpers = max_workers;
  State* pool = nullptr;
  Slot* slot = nullptr;
  if (helpers > 0 && !inside_run) {
    pool = &state();
    if (pool->worker_count.load(std::memory_order_relaxed) < helpers) pool->grow(helpers);
    slot = pool->take_slot();
  }
  if (!slot) {
    for (int64_t tile = 0; tile < tiles; ++tile) body(tile);
    return;
  }
  slot->body = &body;
  slot->tiles = tiles;
  slot->chunk = tiles / (int64_t{helpers + 1} * 16) + 1;
  slot->next.store(0, std::memory_order_relaxed);
  slot->failed.store(false, std::memory_order_relaxed);
  slot->word.store(static_cast<uint32_t>(helpers) * invited, std::memory_order_release);
  pool->ring(helpers);
  slot->work();
  slot->close(pool->may_spin());
  std::exception_ptr error = std::move(slot->error);
  slot->error = nullptr;
  slot->taken.store(false, std::memory_order_release);
  if (error) std::rethrow_exception(error);
}

// The state itself stays: a thread that outlives main may still be in run(), and finishes alone.
ThreadPool::~ThreadPool() {
  State* pool = state_.load();
  if (!pool || inside_run) return;
  std::lock_guard lock(pool->growing);
  pool->stopping = true;
  pool->worker_count = max_workers + 1;
  pool->ring(max_workers);
  for (auto& worker : pool->workers) worker.join();
  pool->workers.clear();
}

}  // namespace outpost
