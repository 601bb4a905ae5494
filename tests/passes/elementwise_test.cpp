// Runs of elementwise operators.
#include "passes/pass_check.h"

namespace outpost::test {
namespace {

std::string fused(const std::string& body) { return after(body + "\noutput %y \"y\"", Stage::layout); }

TEST(FuseElementwise, runs_of_one_shape) {
  EXPECT_EQ(fused("input %x f32[N,40]\nconst %k f32[] {2}\n%a ? = Mul(%x, %k)\n%b ? = Exp(%a)\n%y ? = Add(%b, %x)"), "outpost.Elementwise");
  EXPECT_EQ(fused("input %x f32[3,1000]\ninput %z f32[3,1000]\n%a ? = Tanh(%x)\n%b ? = Exp(%z)\n%c ? = Mul(%a, %b)\n%d ? = Sub(%c, %a)\n%y ? = Softplus(%d)"), "outpost.Elementwise");
  EXPECT_EQ(fused("input %x f16[5,7]\nconst %k f16[1] {0.5}\n%a ? = Abs(%x)\n%b ? = Add(%a, %k)\n%y ? = Log(%b)"), "outpost.Elementwise");
}

TEST(FuseElementwise, what_others_see_stays) {
  EXPECT_EQ(fused("input %x f32[8]\n%a ? = Exp(%x)\n%y ? = Tanh(%a)\noutput %a \"a\""), "Exp Tanh");
  EXPECT_EQ(fused("input %x f32[8,8]\n%a ? = Exp(%x)\n%b ? = Tanh(%a)\n%m ? = MatMul(%a, %x)\n%y ? = Mul(%b, %m)"), "Exp MatMul outpost.Elementwise");
}

TEST(FuseElementwise, sums_alone_and_broadcasts_stay) {
  EXPECT_EQ(fused("input %x f32[8]\nconst %a f32[8] {1, 2, 3, 4, 5, 6, 7, 8}\nconst %b f32[8] {8, 2, 3, 4, 5, 6, 7, 8}\n%s ? = Add(%x, %a)\n%y ? = Add(%s, %b)"), "Add Add");
  EXPECT_EQ(fused("input %x f32[8]\ninput %z f32[3,8]\n%a ? = Exp(%x)\n%y ? = Add(%a, %z)"), "Exp Add");
  EXPECT_EQ(fused("input %x f64[8]\n%a ? = Exp(%x)\n%y ? = Tanh(%a)"), "Exp Tanh") << "f64 has no kernels to chain";
}

}  // namespace
}  // namespace outpost::test
