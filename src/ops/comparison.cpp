// Comparisons with broadcasting; anything compared with NaN is false, except that it is not equal.
#include "ops/elementwise.h"

namespace outpost {

namespace {

constexpr auto equal = [](auto a, auto b) { return a == b; };
constexpr auto less = [](auto a, auto b) { return a < b; };
constexpr auto less_or_equal = [](auto a, auto b) { return a <= b; };
constexpr auto greater = [](auto a, auto b) { return a > b; };
constexpr auto greater_or_equal = [](auto a, auto b) { return a >= b; };
constexpr auto both_or_neither = [](auto a, auto b) { return (a != 0) == (b != 0); };

constexpr BinaryRows equal_rows = [] {
  BinaryRows rows = predicate_rows<equal>();
  rows.boolean = binary_row<both_or_neither, uint8_t>;
  return rows;
}();
constexpr BinaryRows less_rows = predicate_rows<less>();
constexpr BinaryRows less_or_equal_rows = predicate_rows<less_or_equal>();
constexpr BinaryRows greater_rows = predicate_rows<greater>();
constexpr BinaryRows greater_or_equal_rows = predicate_rows<greater_or_equal>();

void run_equal(RunContext& c) {
  if (c.in(0).dtype != DType::string) return run_binary<equal_rows>(c);
  const Broadcast shape = make_broadcast(c.out(0).shape(), {&c.in(0).shape(), &c.in(1).shape()});
  auto *a = c.in(0).as<std::string>(), *b = c.in(1).as<std::string>();
  auto* y = c.out(0).as<bool>();
  for (int64_t i = 0; i < shape.count; ++i) y[i] = a[shape.offset(0, i)] == b[shape.offset(1, i)];
}

constexpr uint32_t numbers = floats | integers;
constexpr std::string_view cases =
    "| f32[2,3,4] f32[2,3,4]\n| f32[2,1,4] f32[3,1]\n| f64[3,5] f64[]\n| i32[2,3](-2,2) i32[3](-2,2)\n"
    "| u8[40](0,3) u8[40](0,3)\n| f32[0,3] f32[3]\n"
    "| f16[2,7] f16[7]";
constexpr std::string_view equal_cases =
    "| f32[2,3,4] f32[2,3,4]\n| i64[2,1,4](0,2) i64[3,1](0,2)\n| bool[3,5] bool[]\n"
    "| string[2]={\"a\",\"b\"} string[]={\"b\"}\n| f32[0,3] f32[3]";
constexpr std::string_view no_gradient = "the result is bool";

}  // namespace

OUTPOST_DEFINE_OP(Equal, .name = "Equal", .since = 19, .min_inputs = 2, .max_inputs = 2, .doc = "a = b",
                  .infer = infer_comparison<numbers | booleans | strings>, .run = run_equal,
                  .upgrade = upgrade_axis_broadcast, .no_gradient = no_gradient, .cases = equal_cases);
OUTPOST_DEFINE_OP(Less, .name = "Less", .since = 13, .min_inputs = 2, .max_inputs = 2, .doc = "a < b",
                  .infer = infer_comparison<numbers>, .run = run_binary<less_rows>, .upgrade = upgrade_axis_broadcast,
                  .no_gradient = no_gradient, .cases = cases);
OUTPOST_DEFINE_OP(LessOrEqual, .name = "LessOrEqual", .since = 16, .first = 12, .min_inputs = 2, .max_inputs = 2,
                  .doc = "a <= b", .infer = infer_comparison<numbers>, .run = run_binary<less_or_equal_rows>,
                  .no_gradient = no_gradient, .cases = cases);
OUTPOST_DEFINE_OP(Greater, .name = "Greater", .since = 13, .min_inputs = 2, .max_inputs = 2, .doc = "a > b",
                  .infer = infer_comparison<numbers>, .run = run_binary<greater_rows>,
                  .upgrade = upgrade_axis_broadcast, .no_gradient = no_gradient, .cases = cases);
OUTPOST_DEFINE_OP(GreaterOrEqual, .name = "GreaterOrEqual", .since = 16, .first = 12, .min_inputs = 2, .max_inputs = 2,
                  .doc = "a >= b", .infer = infer_comparison<numbers>, .run = run_binary<greater_or_equal_rows>,
                  .no_gradient = no_gradient, .cases = cases);

}  // namespace outpost
