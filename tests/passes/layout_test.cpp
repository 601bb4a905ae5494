// The channel-block layout: which nodes join, where conversions stand, and that everything computes the same.
#include "passes/pass_check.h"

#include <algorithm>

namespace outpost::test {
namespace {

// Constants are drawn from a fixed seed: "const %w f32[16,3,3,3] {…}".
std::string weights(const std::string& name, std::vector<int64_t> shape) {
  int64_t count = 1;
  std::string dims, values;
  for (int64_t d : shape) count *= d, dims += (dims.empty() ? "" : ",") + std::to_string(d);
  Random random(static_cast<uint64_t>(count) * 31 + name[0]);
  for (int64_t i = 0; i < count; ++i) values += (i ? ", " : "") + std::to_string(random.uniform() - 0.5);
  return "const %" + name + " f32[" + dims + "] {" + values + "}\n";
}

std::string of(const std::string& body) { return after(body, Stage::layout); }

int count(const std::string& text, const std::string& what) {
  int n = 0;
  for (size_t at = 0; (at = text.find(what, at)) != std::string::npos; at += what.size()) ++n;
  return n;
}

TEST(LayoutPass, split_in_equal_parts) {
  const std::string ops = of("input %x f32[1,16,20,20]\n" + weights("a", {64, 16, 3, 3}) + weights("c", {32, 32, 3, 3}) +
                             "%p ? = Conv(%x, %a)\n%s ?, %t ? = Split(%p) {axis = 1, num_outputs = 2}\n%u ? = Conv(%s, %c)\n%v ? = Conv(%t, %c)\n"
                             "%y ? = Add(%u, %v)\noutput %y \"y\"");
  EXPECT_EQ(count(ops, "BlockedConv"), 3) << ops;
}

TEST(LayoutPass, a_chain_converts_at_its_ends_only) {
  const std::string ops = of("input %x f32[1,3,20,20]\n" + weights("a", {32, 3, 3, 3}) + weights("b", {32}) + weights("c", {48, 32, 3, 3}) +
                             "%p ? = Conv(%x, %a, %b) {pads = [1, 1, 1, 1]}\n%q ? = Tanh(%p)\n%m ? = MaxPool(%q) {kernel_shape = [2, 2], strides = [2, 2]}\n"
                             "%y ? = Conv(%m, %c) {pads = [1, 1, 1, 1]}\noutput %y \"y\"");
  EXPECT_EQ(count(ops, "BlockedConv"), 2) << ops;
  EXPECT_EQ(count(ops, "BlockedMaxPool"), 1) << ops;
  EXPECT_EQ(count(ops, "outpost.BlockChannels"), 0) << "few channels are read as they are: " << ops;
  EXPECT_EQ(count(ops, "outpost.UnblockChannels"), 1) << ops;
}

TEST(LayoutPass, residual_branches_and_global_pooling) {
  const std::string ops = of("input %x f32[2,32,9,9]\n" + weights("a", {32, 32, 3, 3}) + weights("d", {32, 1, 3, 3}) +
                             "%p ? = Conv(%x, %a) {pads = [1, 1, 1, 1]}\n%q ? = Conv(%p, %d) {pads = [1, 1, 1, 1], group = 32}\n"
                             "%r ? = Conv(%q, %a) {pads = [1, 1, 1, 1]}\n%s ? = Add(%r, %p)\n%t ? = Relu(%s)\n%g ? = GlobalAveragePool(%t)\n"
                             "%y ? = Flatten(%g)\noutput %y \"y\"");
  EXPECT_EQ(count(ops, "BlockedConv"), 3) << ops;
  EXPECT_EQ(count(ops, "outpost.BlockChannels"), 1) << ops;
  EXPECT_EQ(count(ops, "outpost.UnblockChannels"), 1) << ops;
  EXPECT_EQ(count(ops, "BlockedGlobalAveragePool"), 1) << ops;
}

TEST(LayoutPass, split_concat_resize_and_scales) {
  const std::string ops = of("input %x f32[1,32,8,8]\nconst %n i64[2] {16, 32}\nconst %z f32[4] {1, 1, 2, 2}\n" + weights("a", {48, 32, 3, 3}) +
                             weights("s", {48, 1, 1}) + weights("c", {20, 48, 3, 3}) +
                             "%p ? = Conv(%x, %a) {pads = [1, 1, 1, 1]}\n%m ? = Mul(%p, %s)\n%u ?, %v ? = Split(%m, %n) {axis = 1}\n"
                             "%k ? = Concat(%v, %u) {axis = 1}\n%r ? = Resize(%k, -, %z) {mode = \"nearest\"}\n"
                             "%y ? = Conv(%r, %c)\noutput %y \"y\"");
  EXPECT_EQ(count(ops, "BlockedConv"), 2) << ops;
  EXPECT_EQ(count(ops, "outpost.UnblockChannels"), 1) << ops;
}

TEST(LayoutPass, slopes_of_channels_gates_and_linear_resize) {
  const std::string ops = of("input %x f32[2,16,6,6]\nconst %z f32[4] {1, 1, 2, 2}\n" + weights("a", {24, 16, 3, 3}) +
                             weights("s", {24, 1, 1}) + weights("g", {24, 24, 1, 1}) + weights("c", {16, 24, 3, 3}) +
                             "%p ? = Conv(%x, %a) {pads = [1, 1, 1, 1]}\n%q ? = PRelu(%p, %s)\n%m ? = GlobalAveragePool(%q)\n"
                             "%u ? = Conv(%m, %g)\n%v ? = Sigmoid(%u)\n%w ? = Mul(%v, %q)\n"
                             "%r ? = Resize(%w, -, %z) {mode = \"linear\"}\n%y ? = Conv(%r, %c) {pads = [1, 1, 1, 1]}\noutput %y \"y\"");
  EXPECT_EQ(count(ops, "BlockedConv"), 3) << ops;
  EXPECT_EQ(count(ops, "outpost.BlockChannels"), 1) << ops;
  EXPECT_EQ(count(ops, "outpost.UnblockChannels"), 1) << ops;
}

TEST(LayoutPass, what_does_not_fit_stays) {
  EXPECT_EQ(of("input %x f32[1,64,8,8]\n" + weights("a", {64, 64, 1, 1}) + "%y ? = Conv(%x, %a)\noutput %y \"y\""), "Conv")
      << "a lone small product is not worth two conversions";
  EXPECT_EQ(of("input %x f32[1,32,8,8]\n" + weights("a", {1, 32, 3, 3}) + "%y ? = Conv(%x, %a)\noutput %y \"y\""), "Conv") << "one channel fills no block";
  EXPECT_EQ(of("input %x f32[1,6,8,8]\n" + weights("a", {12, 2, 3, 3}) + "%y ? = Conv(%x, %a) {group = 3}\noutput %y \"y\""), "Conv");
  EXPECT_EQ(of("input %x f32[1,32,40]\n" + weights("a", {32, 32, 3}) + "%y ? = Conv(%x, %a)\noutput %y \"y\""), "Conv") << "one spatial axis";
  EXPECT_EQ(of("input %x f16[1,3,8,8]\nconst %w f16[16,3,1,1] {" + [] { std::string v = "1"; for (int i = 1; i < 48; ++i) v += ", 1"; return v; }() +
               "}\n%y ? = Conv(%x, %w)\noutput %y \"y\""), "Conv");
}

// Values in the middle may be outputs; batch and extents may be unknown.
TEST(LayoutPass, outputs_in_the_middle_and_unknown_extents) {
  const std::string ops = of("input %x f32[?,3,?,?]\n" + weights("a", {32, 3, 3, 3}) + weights("c", {33, 32, 3, 3}) +
                             "%p ? = Conv(%x, %a) {pads = [1, 1, 1, 1]}\n%q ? = Sigmoid(%p)\n%y ? = Conv(%q, %c) {pads = [1, 1, 1, 1]}\n"
                             "output %y \"y\"\noutput %p \"p\"");
  EXPECT_EQ(count(ops, "BlockedConv"), 2) << ops;
  EXPECT_EQ(count(ops, "outpost.UnblockChannels"), 2) << ops;
}

}  // namespace
}  // namespace outpost::test
