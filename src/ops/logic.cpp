// Logic on bools and bits. Bits are computed in 64 and narrowed: what is shifted out is gone.
#include "ops/elementwise.h"

namespace outpost {

namespace {

constexpr auto conjunction = [](auto a, auto b) { return (a != 0) & (b != 0); };
constexpr auto disjunction = [](auto a, auto b) { return (a | b) != 0; };
constexpr auto exclusive = [](auto a, auto b) { return (a != 0) != (b != 0); };
constexpr BinaryRows and_rows{.boolean = binary_row<conjunction, uint8_t>};
constexpr BinaryRows or_rows{.boolean = binary_row<disjunction, uint8_t>};
constexpr BinaryRows xor_rows{.boolean = binary_row<exclusive, uint8_t>};

template <auto f>
constexpr BinaryRows bit_rows() { return {.i64 = binary_row<f, int64_t>, .u64 = binary_row<f, uint64_t>}; }
constexpr auto bits_and = [](auto a, auto b) { return a & b; };
constexpr auto bits_or = [](auto a, auto b) { return a | b; };
constexpr auto bits_xor = [](auto a, auto b) { return a ^ b; };
// A shift by 64 or more, or by a negative number, leaves the sign's extension only.
constexpr auto shift_left = [](auto a, auto b) {
  return uint64_t(b) < 64 ? static_cast<decltype(a)>(uint64_t(a) << b) : decltype(a)(0);
};
constexpr auto shift_right = [](auto a, auto b) {
  return a >> (uint64_t(b) < 64 ? uint64_t(b) : 63) >> (uint64_t(b) < 64 ? 0 : 1);
};
constexpr BinaryRows bits_and_rows = bit_rows<bits_and>();
constexpr BinaryRows bits_or_rows = bit_rows<bits_or>();
constexpr BinaryRows bits_xor_rows = bit_rows<bits_xor>();
constexpr BinaryRows left_rows = bit_rows<shift_left>();
constexpr BinaryRows right_rows = bit_rows<shift_right>();

void infer_shift(InferContext& c) {
  const auto direction = c.attributes().string("direction", "");
  c.require(direction == "LEFT" || direction == "RIGHT", "direction is \"", direction,
            "\"; expected \"LEFT\" or \"RIGHT\"");
  infer_binary<integers>(c);
}
std::shared_ptr<const void> prepare_shift(const PrepareContext& c) {
  return std::make_shared<bool>(c.attributes().string("direction", "") == "LEFT");
}
void run_shift(RunContext& c) {
  map_binary(c, c.prepared<bool>() ? left_rows : right_rows, c.in(0), c.in(1), c.out(0));
}

constexpr std::string_view bools =
    "| bool[2,3,4] bool[2,3,4]\n| bool[2,1,4] bool[3,1]\n| bool[3] bool[]\n| bool[0,3] bool[3]";
constexpr std::string_view words =
    "| i32[2,3](-9,9) i32[2,3](-9,9)\n| u8[2,1,4](0,255) u8[3,1](0,255)\n| u64[3](0,99) u64[](0,99)\n| i16[0,3] i16[3]";
constexpr std::string_view no_gradient_bool = "the result is bool", no_gradient_bits = "integers";

}  // namespace

OUTPOST_DEFINE_OP(And, .name = "And", .since = 7, .min_inputs = 2, .max_inputs = 2, .doc = "a and b",
                  .infer = infer_binary<booleans>, .run = run_binary<and_rows>, .upgrade = upgrade_axis_broadcast,
                  .no_gradient = no_gradient_bool, .in_place = {{0, 0}, {1, 0}}, .cases = bools);
OUTPOST_DEFINE_OP(Or, .name = "Or", .since = 7, .min_inputs = 2, .max_inputs = 2, .doc = "a or b",
                  .infer = infer_binary<booleans>, .run = run_binary<or_rows>, .upgrade = upgrade_axis_broadcast,
                  .no_gradient = no_gradient_bool, .in_place = {{0, 0}, {1, 0}}, .cases = bools);
OUTPOST_DEFINE_OP(Xor, .name = "Xor", .since = 7, .min_inputs = 2, .max_inputs = 2, .doc = "either, not both",
                  .infer = infer_binary<booleans>, .run = run_binary<xor_rows>, .upgrade = upgrade_axis_broadcast,
                  .no_gradient = no_gradient_bool, .in_place = {{0, 0}, {1, 0}}, .cases = bools);
OUTPOST_DEFINE_OP(BitwiseAnd, .name = "BitwiseAnd", .since = 18, .first = 18, .min_inputs = 2, .max_inputs = 2,
                  .doc = "a & b", .infer = infer_binary<integers>, .run = run_binary<bits_and_rows>,
                  .no_gradient = no_gradient_bits, .in_place = {{0, 0}, {1, 0}}, .cases = words);
OUTPOST_DEFINE_OP(BitwiseOr, .name = "BitwiseOr", .since = 18, .first = 18, .min_inputs = 2, .max_inputs = 2,
                  .doc = "a | b", .infer = infer_binary<integers>, .run = run_binary<bits_or_rows>,
                  .no_gradient = no_gradient_bits, .in_place = {{0, 0}, {1, 0}}, .cases = words);
OUTPOST_DEFINE_OP(BitwiseXor, .name = "BitwiseXor", .since = 18, .first = 18, .min_inputs = 2, .max_inputs = 2,
                  .doc = "a ^ b", .infer = infer_binary<integers>, .run = run_binary<bits_xor_rows>,
                  .no_gradient = no_gradient_bits, .in_place = {{0, 0}, {1, 0}}, .cases = words);
OUTPOST_DEFINE_OP(
    BitShift, .name = "BitShift", .since = 28, .first = 11, .min_inputs = 2, .max_inputs = 2,
    .doc = "a shifted by b bits; right shifts of signed types keep the sign", .infer = infer_shift, .run = run_shift,
    .no_gradient = no_gradient_bits, .prepare = prepare_shift, .in_place = {{0, 0}, {1, 0}},
    .cases =
        "direction=\"LEFT\" | u8[2,3](0,255) u8[3](0,9)\ndirection=\"RIGHT\" | i32[4](-99,99) i32[4](-1,40)\n"
        "direction=\"RIGHT\" | u64[3](0,99) u64[](0,70)\ndirection=\"LEFT\" | u16[0] u16[0]");

}  // namespace outpost
