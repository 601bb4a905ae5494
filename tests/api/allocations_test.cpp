// A run in steady state allocates nothing: operator new of the whole program and the tensor allocator are counted.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <new>

#include "api/test_model.h"
#include "outpost/outpost.h"

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)

namespace {

std::atomic<long> news{0};

void* counted(std::size_t bytes) {
  news.fetch_add(1, std::memory_order_relaxed);
  if (void* p = std::malloc(bytes ? bytes : 1)) return p;
  throw std::bad_alloc();
}

}  // namespace

void* operator new(std::size_t bytes) { return counted(bytes); }
void* operator new[](std::size_t bytes) { return counted(bytes); }
void operator delete(void* p) noexcept { std::free(p); }
void operator delete[](void* p) noexcept { std::free(p); }
void operator delete(void* p, std::size_t) noexcept { std::free(p); }
void operator delete[](void* p, std::size_t) noexcept { std::free(p); }

namespace outpost {
namespace {

class Counting {
 public:
  Counting() {
    set_allocator({.allocate = [](size_t bytes, size_t alignment, void*) {
                     news.fetch_add(1, std::memory_order_relaxed);
                     return std::aligned_alloc(alignment, bytes);
                   },
                   .free = [](void* p, size_t, void*) { std::free(p); }});
  }
  ~Counting() { set_allocator({}); }
  long since_start() const { return news - start_; }
  void start() { start_ = news; }

 private:
  long start_ = 0;
};

TEST(Allocations, none_with_bound_outputs) {
  Counting counting;
  const Session session(test::sum_model(), {.threads = 2});
  Binding binding(session);
  binding.input("a", Tensor::of({1.f, 2.f})).input("b", Tensor::of({3.f, 4.f}));
  binding.output(0, Tensor(DType::f32, {2})).output(1, Tensor(DType::f32, {2}));
  for (int i = 0; i < 3; ++i) binding.run();
  counting.start();
  for (int i = 0; i < 100; ++i) binding.run();
  EXPECT_EQ(counting.since_start(), 0);
}

TEST(Allocations, none_with_outputs_let_go) {
  Counting counting;
  const Session session(test::sum_model(), {.threads = 2});
  Binding binding(session);
  binding.input("a", Tensor::of({1.f, 2.f})).input("b", Tensor::of({3.f, 4.f}));
  for (int i = 0; i < 3; ++i) binding.run();
  counting.start();
  for (int i = 0; i < 100; ++i) binding.run();
  EXPECT_EQ(counting.since_start(), 0);
}

TEST(Allocations, none_with_state) {
  Counting counting;
  const Session session(test::counting_model(), {.threads = 1});
  State state = session.new_state();
  Binding binding(session);
  binding.input("x", Tensor::of({1.f, 2.f})).output(0, Tensor(DType::f32, {2}));
  for (int i = 0; i < 3; ++i) binding.run({.state = &state});
  counting.start();
  for (int i = 0; i < 100; ++i) binding.run({.state = &state});
  EXPECT_EQ(counting.since_start(), 0);
}

TEST(Allocations, none_with_shapes_that_data_decide) {
  Counting counting;
  const Session session(test::positive_model(), {.threads = 1});
  Binding binding(session);
  binding.input("x", Tensor::of({1.f, -2.f, 3.f})).output(0, Tensor(DType::f32, {2}));
  for (int i = 0; i < 3; ++i) binding.run();
  counting.start();
  for (int i = 0; i < 100; ++i) binding.run();
  EXPECT_EQ(counting.since_start(), 0);
}

}  // namespace
}  // namespace outpost

#endif
