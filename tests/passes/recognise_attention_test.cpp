// Attention from its parts: masks, scales, caps, repeated heads, and what only moves heads about; then one projection.
#include "passes/pass_check.h"

namespace outpost::test {
namespace {

const std::string constants =
    "const %eighth f32[] {0.35}\nconst %root f32[] {2.8}\nconst %cap f32[] {3}\nconst %low f32[] {-1e9}\nconst %never f32[] {-inf}\nconst %zero f32[] {0}\n"
    "const %split i64[4] {0, 0, 2, 4}\nconst %join i64[3] {0, 0, 8}\n";

std::string of(const std::string& nodes, const std::string& inputs = "input %q f32[2,3,5,4]\ninput %k f32[2,3,6,4]\ninput %v f32[2,3,6,7]\n") {
  return after(inputs + constants + nodes + "\noutput %y \"y\"", Stage::recognise);
}

const std::string product = "%t ? = Transpose(%k) {perm = [0, 1, 3, 2]}\n%p ? = MatMul(%q, %t)\n";
const std::string end = "%w ? = Softmax(%s) {axis = -1}\n%y ? = MatMul(%w, %v)";

TEST(RecogniseAttention, scales) {
  EXPECT_EQ(of(product + "%s ? = Mul(%p, %eighth)\n" + end), "Attention");
  EXPECT_EQ(of(product + "%s ? = Div(%p, %root)\n" + end), "Attention");
  EXPECT_EQ(of("%a ? = Mul(%q, %eighth)\n%t ? = Transpose(%k) {perm = [0, 1, 3, 2]}\n%b ? = Mul(%t, %eighth)\n%s ? = MatMul(%a, %b)\n" + end), "Attention");
  EXPECT_EQ(of("%w ? = MatMul(%q, %q2)\n%s ? = Softmax(%w)\n%y ? = MatMul(%s, %v)", "input %q f32[2,3,5,4]\ninput %q2 f32[2,3,4,6]\ninput %v f32[2,3,6,7]\n"),
            "Transpose Attention") << "keys that were never transposed";
}

TEST(RecogniseAttention, masks) {
  const std::string inputs = "input %q f32[2,3,5,4]\ninput %k f32[2,3,6,4]\ninput %v f32[2,3,6,7]\ninput %m f32[2,1,1,6]\ninput %c bool[5,6]\ninput %one f32[2,1,1,1]\n";
  EXPECT_EQ(of(product + "%d ? = Div(%p, %root)\n%s ? = Add(%d, %m)\n" + end, inputs), "Attention");
  EXPECT_EQ(of(product + "%s ? = Where(%c, %p, %low)\n" + end, inputs), "Where Attention");
  EXPECT_EQ(of(product + "%d ? = Div(%p, %root)\n%o ? = Where(%c, %d, %low)\n%s ? = Add(%m, %o)\n" + end, inputs), "Where Add Attention");
  EXPECT_EQ(of(product + "%s ? = Where(%c, %low, %p)\n" + end, inputs), "Where Attention");
  EXPECT_EQ(of(product + "%s ? = Add(%p, %one)\n" + end, inputs), "Expand Attention") << "one value is not a mask of one key";
  EXPECT_EQ(of(product + "%o ? = Add(%p, %m)\n%s ? = Mul(%o, %eighth)\n" + end, inputs).find("Attention"), std::string::npos) << "a mask that is scaled";
}

TEST(RecogniseAttention, a_mask_of_another_length_is_expanded_to_the_keys) {
  EXPECT_EQ(of(product + "%s ? = Add(%p, %m)\n" + end, "input %q f32[B,3,S,4]\ninput %k f32[B,3,T,4]\ninput %v f32[B,3,T,7]\ninput %m f32[B,1,1,M]\n"),
            "Shape Expand Attention");
  EXPECT_EQ(of(product + "%s ? = Add(%p, %m)\n" + end, "input %q f32[B,3,S,4]\ninput %k f32[B,3,T,4]\ninput %v f32[B,3,T,7]\ninput %m f32[B,1,1,T]\n"), "Attention");
}

TEST(RecogniseAttention, caps) {
  EXPECT_EQ(of(product + "%d ? = Div(%p, %cap)\n%h ? = Tanh(%d)\n%s ? = Mul(%h, %cap)\n" + end), "Attention");
  EXPECT_EQ(of(product + "%i ? = Mul(%p, %eighth)\n%d ? = Div(%i, %cap)\n%h ? = Tanh(%d)\n%s ? = Mul(%h, %cap)\n" + end), "Attention");
}

TEST(RecogniseAttention, a_score_that_is_wanted_stays) {
  EXPECT_EQ(of(product + "%s ? = Mul(%p, %eighth)\n" + end + "\noutput %w \"w\"").find("Attention"), std::string::npos);
}

TEST(RecogniseAttention, repeated_heads_are_not_repeated) {
  const std::string inputs = "input %q f32[1,4,5,4]\ninput %k f32[1,2,6,4]\ninput %v f32[1,2,6,4]\nconst %two i64[1] {2}\n"
                             "const %wide i64[5] {1, 2, 2, 6, 4}\nconst %flat i64[4] {1, 4, 6, 4}\n";
  auto repeat = [](const std::string& x) {
    return "%" + x + "1 ? = Unsqueeze(%" + x + ", %two)\n%" + x + "2 ? = Expand(%" + x + "1, %wide)\n%" + x + "3 ? = Reshape(%" + x + "2, %flat)\n";
  };
  EXPECT_EQ(of(repeat("k") + repeat("v") + "%t ? = Transpose(%k3) {perm = [0, 1, 3, 2]}\n%p ? = MatMul(%q, %t)\n%s ? = Mul(%p, %eighth)\n"
               "%w ? = Softmax(%s) {axis = -1}\n%y ? = MatMul(%w, %v3)", inputs), "Attention");
}

const std::string rows =
    "%a ? = Reshape(%q, %split)\n%b ? = Reshape(%k, %split)\n%c ? = Reshape(%v, %split)\n%d ? = Transpose(%a) {perm = [0, 2, 1, 3]}\n"
    "%e ? = Transpose(%b) {perm = [0, 2, 3, 1]}\n%f ? = Transpose(%c) {perm = [0, 2, 1, 3]}\n%p ? = MatMul(%d, %e)\n%s ? = Div(%p, %root)\n%w ? = Softmax(%s)\n"
    "%g ? = MatMul(%w, %f)\n%h ? = Transpose(%g) {perm = [0, 2, 1, 3]}\n%y ? = Reshape(%h, %join)";

TEST(RecogniseAttention, heads_are_read_from_rows) {
  EXPECT_EQ(of(rows, "input %q f32[N,S,8]\ninput %k f32[N,T,8]\ninput %v f32[N,T,8]\n"), "Attention");
}

TEST(RecogniseAttention, one_projection_split_by_head) {
  const std::string nodes =
      "const %five i64[5] {0, 0, 3, 2, 4}\nconst %0 i64[] {0}\nconst %1 i64[] {1}\nconst %2 i64[] {2}\n%r ? = Reshape(%x, %five)\n"
      "%t ? = Transpose(%r) {perm = [2, 0, 3, 1, 4]}\n%q ? = Gather(%t, %0)\n%k ? = Gather(%t, %1)\n%v ? = Gather(%t, %2)\n"
      "%e ? = Transpose(%k) {perm = [0, 1, 3, 2]}\n%p ? = MatMul(%q, %e)\n%s ? = Mul(%p, %eighth)\n%w ? = Softmax(%s)\n%g ? = MatMul(%w, %v)\n"
      "%h ? = Transpose(%g) {perm = [0, 2, 1, 3]}\n%y ? = Reshape(%h, %join)";
  EXPECT_EQ(of(nodes, "input %x f32[N,S,24]\n"), "Split Attention");
  EXPECT_EQ(after("input %x f32[N,S,24]\n" + constants + nodes + "\noutput %y \"y\"", Stage::fuse), "outpost.PackedAttention");
}

TEST(PackAttention, three_projections_become_one) {
  std::string text = "input %x f32[N,S,3]\ninput %m f32[N,1,1,S]\n" + constants;
  for (const char* name : {"q", "k", "v"}) {
    text += std::string("const %w") + name + " f32[3,8] {";
    for (int i = 0; i < 24; ++i) text += (i ? ", " : "") + std::to_string((i * (name[0] % 7 + 3)) % 11 - 5) + ".5";
    text += std::string("}\nconst %b") + name + " f32[8] {1, 2, 3, 4, 5, 6, 7, " + std::to_string(name[0] % 5) + "}\n%m" + name + " ? = MatMul(%x, %w" + name + ")\n%" + name +
            " ? = Add(%m" + name + ", %b" + name + ")\n";
  }
  EXPECT_EQ(after(text + rows + "\noutput %y \"y\"", Stage::fuse), "outpost.Linear outpost.PackedAttention");
}

}  // namespace
}  // namespace outpost::test
