// Activation functions from their parts.
#include "passes/pass_check.h"

namespace outpost::test {
namespace {

std::string of(const std::string& nodes) { return after("input %x f32[2,8]\n" + nodes + "\noutput %y \"y\"", Stage::recognise); }

TEST(Activations, swish_and_quick_gelu) {
  EXPECT_EQ(of("%s f32[2,8] = Sigmoid(%x)\n%y f32[2,8] = Mul(%s, %x)"), "Swish");
  EXPECT_EQ(of("const %a f32[1] {1.702}\n%m ? = Mul(%a, %x)\n%s ? = Sigmoid(%m)\n%y ? = Mul(%x, %s)"), "Swish");
  EXPECT_EQ(of("%s ? = Sigmoid(%x)\n%z ? = Mul(%s, %x)\n%y ? = Add(%z, %s)"), "Sigmoid Mul Add") << "the sigmoid is used twice";
}

TEST(Activations, integer_bounds_are_exact) {
  EXPECT_EQ(after("input %x i64[3]\nconst %a i64[1] {0}\nconst %b i64[1] {9223372036854775807}\n%m ? = Max(%x, %a)\n%y ? = Min(%m, %b)\noutput %y \"y\"", Stage::recognise), "Clip");
}

TEST(Activations, hard_swish_and_hard_sigmoid) {
  const std::string clip = "const %3 f32[] {3}\nconst %0 f32[] {0}\nconst %6 f32[] {6}\n%a ? = Add(%x, %3)\n%c ? = Clip(%a, %0, %6)\n";
  EXPECT_EQ(of(clip + "%m ? = Mul(%x, %c)\n%y ? = Div(%m, %6)"), "HardSwish");
  EXPECT_EQ(of(clip + "%d ? = Div(%c, %6)\n%y ? = Mul(%d, %x)"), "HardSwish");
  EXPECT_EQ(of(clip + "%y ? = Div(%c, %6)"), "HardSigmoid");
}

TEST(Activations, clips) {
  EXPECT_EQ(of("const %a f32[] {0}\nconst %b f32[] {6}\n%m ? = Max(%x, %a)\n%y ? = Min(%m, %b)"), "Clip");
  EXPECT_EQ(of("const %a f32[] {0}\n%y ? = Max(%a, %x)"), "Relu");
  EXPECT_EQ(of("const %a f32[1,1,1] {0}\n%y ? = Max(%a, %x)"), "Max") << "the constant raises the rank";
  EXPECT_EQ(of("const %b f32[] {6}\n%m ? = Relu(%x)\n%y ? = Clip(%m, -, %b)"), "Clip");
  EXPECT_EQ(of("const %b f32[] {0.1}\n%m ? = Mul(%x, %b)\n%y ? = Max(%m, %x)"), "LeakyRelu");
}

TEST(Activations, softplus_and_mish) {
  const std::string softplus = "const %1 f32[] {1}\n%e ? = Exp(%x)\n%a ? = Add(%e, %1)\n%l ? = Log(%a)\n";
  EXPECT_EQ(of(softplus + "%y ? = Tanh(%l)"), "Softplus Tanh");
  EXPECT_EQ(of(softplus + "%t ? = Tanh(%l)\n%y ? = Mul(%t, %x)"), "Mish");
}

TEST(Activations, an_output_in_the_middle_stays) {
  EXPECT_EQ(after("input %x f32[4]\n%s ? = Sigmoid(%x)\n%y ? = Mul(%s, %x)\noutput %y \"y\"\noutput %s \"s\""), "Sigmoid Mul");
}

}  // namespace
}  // namespace outpost::test
