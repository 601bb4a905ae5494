// A run in steady state allocates nothing: operator new of the whole program and the tensor allocator are counted.
#include <gtest/gtest.h>

#include "allocation_hook.h"
#include "api/test_model.h"
#include "outpost/outpost.h"

#if OUTPOST_ALLOCATION_HOOK

namespace outpost {
namespace {

TEST(Allocations, none_with_bound_outputs) {
  const test::CountedTensors counted;
  const Session session(test::sum_model(), {.threads = 2});
  Binding binding(session);
  binding.input("a", Tensor::of({1.f, 2.f})).input("b", Tensor::of({3.f, 4.f}));
  binding.output(0, Tensor(DType::f32, {2})).output(1, Tensor(DType::f32, {2}));
  for (int i = 0; i < 3; ++i) binding.run();
  const long before = test::allocations;
  for (int i = 0; i < 100; ++i) binding.run();
  EXPECT_EQ(test::allocations, before);
}

TEST(Allocations, none_with_outputs_let_go) {
  const test::CountedTensors counted;
  const Session session(test::sum_model(), {.threads = 2});
  Binding binding(session);
  binding.input("a", Tensor::of({1.f, 2.f})).input("b", Tensor::of({3.f, 4.f}));
  for (int i = 0; i < 3; ++i) binding.run();
  const long before = test::allocations;
  for (int i = 0; i < 100; ++i) binding.run();
  EXPECT_EQ(test::allocations, before);
}

TEST(Allocations, none_with_state) {
  const test::CountedTensors counted;
  const Session session(test::counting_model(), {.threads = 1});
  State state = session.new_state();
  Binding binding(session);
  binding.input("x", Tensor::of({1.f, 2.f})).output(0, Tensor(DType::f32, {2}));
  for (int i = 0; i < 3; ++i) binding.run({.state = &state});
  const long before = test::allocations;
  for (int i = 0; i < 100; ++i) binding.run({.state = &state});
  EXPECT_EQ(test::allocations, before);
}

TEST(Allocations, none_with_shapes_that_data_decide) {
  const test::CountedTensors counted;
  const Session session(test::positive_model(), {.threads = 1});
  Binding binding(session);
  binding.input("x", Tensor::of({1.f, -2.f, 3.f})).output(0, Tensor(DType::f32, {2}));
  for (int i = 0; i < 3; ++i) binding.run();
  const long before = test::allocations;
  for (int i = 0; i < 100; ++i) binding.run();
  EXPECT_EQ(test::allocations, before);
}

}  // namespace
}  // namespace outpost

#endif
