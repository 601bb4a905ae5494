// Simplifying passes: shapes, what cancels, common subexpressions.
#include "passes/pass_check.h"

namespace outpost::test {
namespace {

std::string simple(const std::string& body) { return after(body + "\noutput %y \"y\"", Stage::simplify); }

TEST(CancelPairs, casts) {
  EXPECT_EQ(simple("input %x f16[3]\n%a ? = Cast(%x) {to = 1}\n%y ? = Cast(%a) {to = 10}"), "");
  EXPECT_EQ(simple("input %x f16[3]\n%a ? = Cast(%x) {to = 1}\n%y ? = Cast(%a) {to = 11}"), "Cast");
  EXPECT_EQ(simple("input %x f32[3]\n%a ? = Cast(%x) {to = 10}\n%y ? = Cast(%a) {to = 1}"), "Cast Cast") << "the first rounds";
  EXPECT_EQ(simple("input %x i32[3]\n%a ? = Cast(%x) {to = 7}\n%y ? = Cast(%a) {to = 6}"), "");
  EXPECT_EQ(simple("input %x i64[3]\n%a ? = Cast(%x) {to = 1}\n%y ? = Cast(%a) {to = 7}"), "Cast Cast");
  EXPECT_EQ(simple("input %x i8[3]\n%a ? = Cast(%x) {to = 1}\n%y ? = Cast(%a) {to = 2}"), "Cast Cast") << "a float out of range does not wrap";
  EXPECT_EQ(simple("input %x bool[3]\n%a ? = Cast(%x) {to = 7}\n%y ? = Cast(%a) {to = 8}"), "Cast Cast") << "1 is not True";
}

TEST(CancelPairs, views) {
  EXPECT_EQ(simple("input %x f32[2,3,4]\nconst %s i64[2] {6, 4}\nconst %t i64[1] {24}\n%a ? = Reshape(%x, %s)\n%y ? = Reshape(%a, %t)"), "Reshape");
  EXPECT_EQ(simple("input %x f32[2,3]\nconst %a i64[1] {1}\n%u ? = Unsqueeze(%x, %a)\n%y ? = Squeeze(%u, %a)"), "");
  EXPECT_EQ(simple("input %x f32[N,3,4]\nconst %s i64[3] {0, 3, 4}\n%y ? = Reshape(%x, %s)"), "");
  EXPECT_EQ(simple("input %x f32[N,3,4]\n%a ? = Flatten(%x)\nconst %s i64[2] {-1, 6}\n%y ? = Reshape(%a, %s)"), "Reshape");
}

TEST(CancelPairs, transposes) {
  EXPECT_EQ(simple("input %x f32[2,3,4]\n%a ? = Transpose(%x) {perm = [2, 0, 1]}\n%y ? = Transpose(%a) {perm = [1, 2, 0]}"), "");
  EXPECT_EQ(simple("input %x f32[2,3,4]\n%a ? = Transpose(%x) {perm = [2, 0, 1]}\n%y ? = Transpose(%a) {perm = [2, 0, 1]}"), "Transpose");
  EXPECT_EQ(simple("input %x f32[2,1,4]\n%y ? = Transpose(%x) {perm = [1, 0, 2]}"), "Reshape");
  EXPECT_EQ(simple("input %x f32[2,3]\n%a ? = Transpose(%x)\n%y ? = Transpose(%a)"), "");
}

TEST(CancelPairs, nothing_at_all) {
  EXPECT_EQ(simple("input %x f32[N,4]\nconst %b i64[1] {0}\nconst %e i64[1] {9223372036854775807}\n%y ? = Slice(%x, %b, %e)"), "");
  EXPECT_EQ(simple("input %x f32[2,4]\nconst %b i64[1] {0}\nconst %e i64[1] {3}\nconst %a i64[1] {-1}\n%y ? = Slice(%x, %b, %e, %a)"), "Slice");
  EXPECT_EQ(simple("input %x f32[2,4]\nconst %p i64[4] {0, 0, 0, 0}\n%y ? = Pad(%x, %p)"), "");
  EXPECT_EQ(simple("input %x f32[2,4]\nconst %s i64[2] {2, 1}\n%y ? = Expand(%x, %s)"), "");
  EXPECT_EQ(simple("input %x f32[2,4]\nconst %k f32[] {1}\n%a ? = Mul(%x, %k)\n%y ? = Div(%a, %k)"), "");
  EXPECT_EQ(simple("input %x f32[2,4]\nconst %k f32[] {0}\n%y ? = Add(%x, %k)"), "Add") << "-0 + 0 is 0";
  EXPECT_EQ(simple("input %x f32[2,4]\nconst %k f32[] {-0}\n%y ? = Add(%x, %k)"), "");
  EXPECT_EQ(simple("input %x f32[2,4]\nconst %k f32[1,1,1] {1}\n%y ? = Mul(%x, %k)"), "Mul") << "the rank grows";
  EXPECT_EQ(simple("input %x f32[2,6]\n%a ?, %b ? = Split(%x) {axis = 1, num_outputs = 2}\n%y ? = Concat(%a, %b) {axis = -1}"), "");
  EXPECT_EQ(simple("input %x f32[2]\n%a ? = Neg(%x)\n%y ? = Neg(%a)"), "");
}

TEST(CancelPairs, conditions) {
  EXPECT_EQ(simple("input %x f32[2]\ninput %z f32[2]\nconst %c bool[2] {1, 1}\n%y ? = Where(%c, %x, %z)"), "");
  EXPECT_EQ(simple("input %x f32[2]\ninput %z f32[3,2]\nconst %c bool[] {1}\n%y ? = Where(%c, %x, %z)"), "Where") << "it broadcasts";
  EXPECT_EQ(simple("input %x f32[2]\nconst %c bool[] {0}\n%y ? = If(%c; %x) {then_branch = graph \"t\" {\ninput %x f32[2]\n%o ? = Neg(%x)\noutput %o \"o\"\n}, else_branch = graph \"e\" {\ninput %x f32[2]\n%o ? = Exp(%x)\noutput %o \"o\"\n}}"), "Exp");
}

TEST(FoldShapes, arithmetic_on_known_dims) {
  const std::string x = "input %x f32[N,6,4]\ninput %z f32[12,2]\n%s ? = Shape(%x)\n";
  EXPECT_EQ(simple(x + "const %i i64[] {1}\nconst %0 i64[1] {0}\nconst %m i64[1] {-1}\n%g ? = Gather(%s, %i)\n%u ? = Unsqueeze(%g, %0)\n%c ? = Concat(%u, %m) {axis = 0}\n%y ? = Reshape(%z, %c)"), "Reshape");
  EXPECT_EQ(simple(x + "const %i i64[1] {0}\nconst %two i64[1] {2}\nconst %three i64[1] {3}\nconst %four i64[1] {4}\n%g ? = Gather(%s, %i)\n%c ? = Concat(%g, %two, %three, %four) {axis = 0}\n%y ? = Reshape(%x, %c)"), "Reshape");
  EXPECT_EQ(simple(x + "const %b i64[1] {1}\nconst %e i64[1] {3}\n%p ? = Slice(%s, %b, %e)\nconst %0 f32[1] {0}\n%y ? = ConstantOfShape(%p)"), "") << "folded altogether";
}

TEST(FoldShapes, an_axis_is_asked_of_the_first_value_that_has_it) {
  EXPECT_EQ(simple("input %x f32[N,6]\n%t ? = Transpose(%x)\n%s ? = Shape(%t) {start = 1}\n%u ? = Shape(%x) {start = 0, end = 1}\n%y ? = Add(%s, %u)"), "Shape Add");
}

TEST(FoldShapes, what_only_the_run_knows_stays) {
  EXPECT_EQ(simple("input %x f32[N,M]\n%s ? = Shape(%x)\n%y ? = Add(%s, %s)"), "Shape Add");
  EXPECT_EQ(simple("input %x f32[N,M]\ninput %z f32[4]\n%s ? = Shape(%x)\n%y ? = Reshape(%z, %s)"), "Shape Reshape") << "two dims are open";
}

TEST(MergeCommon, equal_nodes_and_constants) {
  EXPECT_EQ(simple("input %x f32[2]\nconst %a f32[] {2}\nconst %b f32[] {2}\n%p ? = Mul(%x, %a)\n%q ? = Mul(%x, %b)\n%y ? = Add(%p, %q)"), "Mul Add");
  EXPECT_EQ(simple("input %x f32[2,2]\n%p ? = Softmax(%x) {axis = 0}\n%q ? = Softmax(%x) {axis = 1}\n%y ? = Add(%p, %q)"), "Softmax Softmax Add");
  const std::string random = operators(*[] {
    auto g = graph_of("input %x f32[2]\n%p ? = RandomUniformLike(%x)\n%q ? = RandomUniformLike(%x)\n%y ? = Add(%p, %q)\noutput %y \"y\"");
    optimise(*g);
    return g;
  }());
  EXPECT_EQ(random, "RandomUniformLike RandomUniformLike Add");
}

}  // namespace
}  // namespace outpost::test
