// Session, Binding, State, Outputs: arguments by name and position, memory, states, limits, mistakes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "outpost/outpost.h"
#include "api/test_model.h"

namespace outpost {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

template <class F>
std::pair<ErrorCode, std::string> error_of(F f) {
  try {
    f();
  } catch (const Error& e) {
    return {e.code(), e.what()};
  }
  return {ErrorCode{}, "no error"};
}

Tensor floats(std::vector<float> v) { return Tensor::of(v, Shape{static_cast<int64_t>(v.size())}); }

TEST(Model, describes_itself) {
  const Model model = test::sum_model();
  ASSERT_EQ(model.inputs().size(), 2u);
  EXPECT_EQ(model.inputs()[0].name, "a");
  EXPECT_EQ(to_string(model.inputs()[0].type), "f32[n]");
  EXPECT_EQ(model.outputs()[1].name, "twice");
  EXPECT_EQ(model.metadata()[0].second, "a test");
  EXPECT_EQ(model.opsets(), (std::vector<std::pair<std::string, int>>{{"", 21}}));
}

TEST(Session, runs_by_name_in_any_order_and_shape) {
  const Session session(test::sum_model(), {.threads = 1});
  const auto outputs = session.run({{"b", floats({10, 20})}, {"a", floats({1, 2})}});
  ASSERT_EQ(outputs.size(), 2u);
  EXPECT_THAT(outputs["sum"].values<float>(), ElementsAre(11, 22));
  EXPECT_THAT(outputs[1].values<float>(), ElementsAre(12, 24));
  EXPECT_EQ(outputs.name(1), "twice");
  const auto longer = session.run({{"a", floats({1, 2, 3})}, {"b", floats({0, 0, 0})}});
  EXPECT_THAT(longer["twice"].values<float>(), ElementsAre(2, 4, 6));
  EXPECT_THAT(outputs["sum"].values<float>(), ElementsAre(11, 22));  // results are the caller's
}

TEST(Session, views_and_bound_outputs_are_used_where_they_lie) {
  const Session session(test::sum_model(), {.threads = 1});
  const std::vector<float> a{1, 2};
  std::vector<float> sum(2);
  const auto outputs = session.run({{"a", Tensor::view(std::span(a), {2})}, {"b", floats({5, 5})}},
                                   {{"sum", Tensor::view(std::span(sum), {2})}});
  EXPECT_THAT(sum, ElementsAre(6, 7));
  EXPECT_EQ(outputs["sum"].raw(), sum.data());
  EXPECT_THAT(outputs["twice"].values<float>(), ElementsAre(7, 9));
}

TEST(Session, mistakes_say_what_to_do) {
  const Session session(test::sum_model(), {.threads = 1});
  const auto missing = error_of([&] { session.run({{"a", floats({1})}}); });
  EXPECT_EQ(missing.first, ErrorCode::invalid_argument);
  EXPECT_THAT(missing.second, HasSubstr("input 'b' is missing; the model expects f32[n]"));
  const auto unknown = error_of([&] { session.run({{"c", floats({1})}}); });
  EXPECT_EQ(unknown.first, ErrorCode::not_found);
  EXPECT_THAT(unknown.second, HasSubstr("no input 'c'; it has 'a', 'b'"));
  const auto twice = error_of([&] { session.run({{"a", floats({1})}, {"a", floats({1})}, {"b", floats({1})}}); });
  EXPECT_THAT(twice.second, HasSubstr("given twice"));
  const auto dtype = error_of([&] { session.run({{"a", Tensor::of({1})}, {"b", floats({1})}}); });
  EXPECT_THAT(dtype.second, HasSubstr("input 'a' is i32[1]; the model expects f32[n]"));
  const auto shape = error_of([&] { session.run({{"a", floats({1, 2})}, {"b", floats({1})}}, {{"sum", floats({1, 2, 3})}}); });
  EXPECT_EQ(shape.first, ErrorCode::invalid_argument);
  EXPECT_THAT(error_of([&] { Session(test::sum_model(), {.threads = -1}); }).second, HasSubstr("threads is -1"));
  EXPECT_THAT(error_of([&] { Session(test::sum_model(), {.passes_off = {"nothing"}}); }).second, HasSubstr("no pass 'nothing'"));
  EXPECT_THAT(session.run({{"a", floats({1})}, {"b", floats({1})}})["sum"].values<float>(), ElementsAre(2));  // still good
}

TEST(Session, keeps_state_between_runs) {
  Session session(test::counting_model(), {.threads = 1});
  ASSERT_EQ(session.inputs().size(), 1u);  // the state is not an input of the caller's
  session.run({{"x", floats({1, 1})}});
  EXPECT_THAT(session.run({{"x", floats({1, 1})}})[0].values<float>(), ElementsAre(3, 4));
  State mine = session.new_state();
  EXPECT_THAT(session.run({{"x", floats({5, 5})}}, {.state = &mine})[0].values<float>(), ElementsAre(6, 7));
  EXPECT_THAT(session.run({{"x", floats({1, 1})}})[0].values<float>(), ElementsAre(4, 5));
  EXPECT_THAT(mine.names(), ElementsAre("count"));
  EXPECT_THAT(mine.get("count").values<float>(), ElementsAre(6, 7));
  mine.set("count", floats({100, 200}));
  EXPECT_THAT(session.run({{"x", floats({1, 1})}}, {.state = &mine})[0].values<float>(), ElementsAre(101, 201));
  session.reset();
  EXPECT_THAT(session.run({{"x", floats({0, 0})}})[0].values<float>(), ElementsAre(1, 2));
  EXPECT_EQ(error_of([&] { mine.set("count", Tensor::of({1})); }).first, ErrorCode::invalid_argument);
  EXPECT_EQ(error_of([&] { mine.get("nothing"); }).first, ErrorCode::not_found);
  State nothing;
  EXPECT_EQ(error_of([&] { session.run({{"x", floats({1, 1})}}, {.state = &nothing}); }).first, ErrorCode::invalid_argument);
}

TEST(Session, serves_threads_each_with_its_own_state) {
  const Session session(test::counting_model(), {.threads = 2});
  std::vector<std::thread> threads;
  std::atomic<int> wrong{0};
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      State state = session.new_state();
      const Tensor x = floats({float(t), float(t)});
      for (int i = 1; i <= 200; ++i) {
        const auto outputs = session.run({{"x", x}}, {.state = &state});
        wrong += outputs[0].values<float>()[0] != 1.f + float(t * i);
      }
    });
  for (auto& t : threads) t.join();
  EXPECT_EQ(wrong, 0);
}

TEST(Session, shapes_known_only_at_run_time) {
  const Session session(test::positive_model(), {.threads = 1});
  EXPECT_THAT(session.run({{"x", floats({1, -1, 2})}})[0].values<float>(), ElementsAre(2, 4));
  EXPECT_THAT(session.run({{"x", floats({-1, -1, -2})}})[0].values<float>(), ElementsAre());
  const Shape shape[] = {{3}};
  EXPECT_FALSE(session.plan(shape).complete);
}

TEST(Session, stops_when_told_and_keeps_to_its_memory) {
  const Session session(test::sum_model(), {.threads = 1});
  const std::atomic<bool> stop{true};
  const Tensor x = floats({1, 2});
  EXPECT_EQ(error_of([&] { session.run({{"a", x}, {"b", x}}, {.cancel = &stop}); }).first, ErrorCode::cancelled);
  const auto past = std::chrono::steady_clock::now() - std::chrono::seconds(1);
  EXPECT_EQ(error_of([&] { session.run({{"a", x}, {"b", x}}, {.deadline = past}); }).first, ErrorCode::deadline);
  const Tensor large(DType::f32, {1 << 16});
  EXPECT_EQ(error_of([&] { session.run({{"a", large}, {"b", large}}, {.memory_limit_bytes = 1 << 16}); }).first, ErrorCode::limit);
  std::vector<ProfileEntry> profile;
  session.run({{"a", x}, {"b", x}}, {.profile = &profile});
  ASSERT_EQ(profile.size(), 2u);
  EXPECT_EQ(profile[0].op, "TestSum");
}

TEST(Session, plans_in_numbers) {
  const Session session(test::sum_model(), {.threads = 1});
  const Shape shapes[] = {{8}, {8}};
  const PlanInfo plan = session.plan(shapes);
  EXPECT_TRUE(plan.complete);
  ASSERT_EQ(plan.steps.size(), 2u);
  EXPECT_EQ(plan.steps[0].outputs[0], "f32[8]");
  EXPECT_EQ(plan.flops, 16);
  EXPECT_EQ(error_of([&] { session.plan({}); }).first, ErrorCode::invalid_argument);
}

TEST(Binding, keeps_arguments_between_runs) {
  const Session session(test::sum_model(), {.threads = 1});
  Binding binding(session);
  EXPECT_THAT(error_of([&] { binding.run(); }).second, HasSubstr("input 'a' is missing"));
  std::vector<float> a{1, 2}, sum(2), twice(2);
  binding.input("a", Tensor::view(std::span(a), {2})).input("b", floats({3, 4}));
  binding.output("sum", Tensor::view(std::span(sum), {2})).output(1, Tensor::view(std::span(twice), {2}));
  binding.run();
  EXPECT_THAT(sum, ElementsAre(4, 6));
  a = {10, 20};
  binding.run();
  EXPECT_THAT(twice, ElementsAre(23, 44));
  binding.release_output(0);
  a = {0, 0};
  binding.run();
  EXPECT_THAT(binding.result("sum").tensor().values<float>(), ElementsAre(3, 4));
  EXPECT_EQ(error_of([&] { binding.input(2, floats({1})); }).first, ErrorCode::not_found);
}

TEST(Allocator, serves_tensors_and_arenas) {
  static int64_t balance, calls;
  balance = calls = 0;
  set_allocator({.allocate = [](size_t bytes, size_t alignment, void*) {
                   ++calls;
                   balance += static_cast<int64_t>(bytes);
                   return std::aligned_alloc(alignment, bytes);
                 },
                 .free = [](void* p, size_t bytes, void*) {
                   balance -= static_cast<int64_t>(bytes);
                   std::free(p);
                 }});
  {
    const Session session(test::sum_model(), {.threads = 1});
    session.run({{"a", floats({1})}, {"b", floats({2})}});
    EXPECT_GT(calls, 2);
    EXPECT_GT(balance, 0);
  }
  set_allocator({});
  EXPECT_EQ(balance, 0);
  set_allocator({.allocate = [](size_t, size_t, void*) -> void* { return nullptr; }, .free = [](void*, size_t, void*) {}});
  EXPECT_EQ(error_of([] { Tensor(DType::f32, {4}); }).first, ErrorCode::limit);
  set_allocator({});
}

TEST(Log, goes_to_the_programs_function) {
  static std::vector<std::string> lines;
  lines.clear();
  set_log([](LogLevel, std::string_view message, void*) { lines.emplace_back(message); });
  const Session session(test::sum_model(), {.threads = 1});
  set_log(nullptr);
  const Session silent(test::sum_model(), {.threads = 1});
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_THAT(lines[0], HasSubstr("'sums' is ready"));
}

TEST(Version, is_that_of_the_build) { EXPECT_STREQ(version(), "0.1.0"); }

}  // namespace
}  // namespace outpost
