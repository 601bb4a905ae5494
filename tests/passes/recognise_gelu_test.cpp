// Gelu from its parts, in the orders in which exporters write them.
#include "passes/pass_check.h"

namespace outpost::test {
namespace {

const std::string constants =
    "const %half f32[] {0.5}\nconst %one f32[] {1}\nconst %two f32[] {2}\nconst %three f32[] {3}\nconst %root f32[] {1.4142135}\n"
    "const %rh f32[1] {0.70710677}\nconst %k f32[] {0.7978846}\nconst %c f32[] {0.044715}\n";

std::string of(const std::string& nodes) {
  return after("input %x f32[2,8]\n" + constants + nodes + "\noutput %y \"y\"", Stage::recognise);
}

TEST(RecogniseGelu, exact_forms) {
  const std::string gate = "%d ? = Div(%x, %root)\n%e ? = Erf(%d)\n%g ? = Add(%one, %e)\n";
  EXPECT_EQ(of(gate + "%m ? = Mul(%x, %g)\n%y ? = Mul(%m, %half)"), "Gelu");
  EXPECT_EQ(of(gate + "%h ? = Mul(%half, %x)\n%y ? = Mul(%g, %h)"), "Gelu");
  EXPECT_EQ(of(gate + "%h ? = Mul(%g, %half)\n%y ? = Mul(%x, %h)"), "Gelu");
  EXPECT_EQ(of(gate + "%m ? = Mul(%x, %g)\n%y ? = Div(%m, %two)"), "Gelu");
  EXPECT_EQ(of("%d ? = Mul(%rh, %x)\n%e ? = Erf(%d)\n%g ? = Add(%e, %one)\n%m ? = Mul(%x, %g)\n%y ? = Mul(%half, %m)"), "Gelu");
}

TEST(RecogniseGelu, tanh_forms) {
  const std::string gate = "%t ? = Tanh(%i)\n%g ? = Add(%one, %t)\n%h ? = Mul(%half, %x)\n%y ? = Mul(%h, %g)";
  const std::string sum = "%q ? = Mul(%cube, %c)\n%s ? = Add(%x, %q)\n%i ? = Mul(%s, %k)\n";
  EXPECT_EQ(of("%cube ? = Pow(%x, %three)\n" + sum + gate), "Gelu");
  EXPECT_EQ(of("%sq ? = Mul(%x, %x)\n%cube ? = Mul(%sq, %x)\n" + sum + gate), "Gelu");
  EXPECT_EQ(of("%sc ? = Mul(%x, %k)\n%cx ? = Mul(%c, %x)\n%cxx ? = Mul(%cx, %x)\n%f ? = Add(%cxx, %one)\n%i ? = Mul(%sc, %f)\n" + gate), "Gelu");
}

TEST(RecogniseGelu, others_stay) {
  EXPECT_EQ(of("%d ? = Div(%x, %two)\n%e ? = Erf(%d)\n%g ? = Add(%one, %e)\n%m ? = Mul(%x, %g)\n%y ? = Mul(%m, %half)"), "Div Erf Add Mul Mul");
}

TEST(RecogniseGelu, microsoft_forms_open_their_bias) {
  EXPECT_EQ(of("const %b f32[8] {1, 2, 3, 4, 5, 6, 7, 8}\n%y ? = com.microsoft.BiasGelu(%x, %b)"), "Add Gelu");
  EXPECT_EQ(of("%y ? = com.microsoft.FastGelu(%x)"), "Gelu");
  EXPECT_EQ(of("%y ? = com.microsoft.Gelu(%x)"), "Gelu");
}

}  // namespace
}  // namespace outpost::test
