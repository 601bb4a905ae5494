// Transposes, padding in front of windows, and what stands around matrix products.
#include "passes/pass_check.h"

namespace outpost::test {
namespace {

std::string fused(const std::string& body) { return after(body + "\noutput %y \"y\""); }

const std::string weights = "const %w f32[2,2,1,1] {1, 2, 3, -1}\n";

TEST(Transposes, cancel_through_a_chain) {
  EXPECT_EQ(fused("input %x f32[2,3,4]\n%a ? = Transpose(%x) {perm = [0, 2, 1]}\n%b ? = Exp(%a)\n%c ? = Tanh(%b)\n%y ? = Transpose(%c) {perm = [0, 2, 1]}"), "Exp Tanh");
  EXPECT_EQ(fused("input %x f32[2,3,4]\nconst %k f32[3] {1, 2, 3}\n%a ? = Transpose(%x) {perm = [0, 2, 1]}\n%b ? = Mul(%a, %k)\n%y ? = Transpose(%b) {perm = [0, 2, 1]}"), "Mul");
  EXPECT_EQ(fused("input %x f32[2,3,4]\n%a ? = Transpose(%x) {perm = [0, 2, 1]}\n%b ? = Softmax(%a) {axis = 1}\n%y ? = Transpose(%b) {perm = [0, 2, 1]}"), "Softmax");
  EXPECT_EQ(fused("input %x f32[2,3,4]\ninput %z f32[2,3,4]\n%a ? = Transpose(%x) {perm = [2, 0, 1]}\n%b ? = Transpose(%z) {perm = [2, 0, 1]}\n%c ? = Concat(%a, %b) {axis = 0}\n%y ? = Transpose(%c) {perm = [1, 2, 0]}"), "Concat");
}

TEST(Transposes, two_become_one) {
  EXPECT_EQ(fused("input %x f32[2,3,4]\ninput %z f32[2,3,4]\n%a ? = Transpose(%x) {perm = [0, 2, 1]}\n%b ? = Transpose(%z) {perm = [0, 2, 1]}\n%y ? = Add(%a, %b)"), "Add Transpose");
}

TEST(Transposes, a_model_in_another_layout) {  // a residual block with channels last
  const std::string in = "{perm = [0, 3, 1, 2]}", out = "{perm = [0, 2, 3, 1]}";
  EXPECT_EQ(fused("input %x f32[1,4,4,2]\n" + weights + "%a ? = Transpose(%x) " + in + "\n%b ? = Conv(%a, %w)\n%c ? = Transpose(%b) " + out +
                  "\n%d ? = Relu(%c)\n%e ? = Transpose(%d) " + in + "\n%f ? = Conv(%e, %w)\n%g ? = Transpose(%f) " + out + "\n%h ? = Add(%d, %g)\n%i ? = Transpose(%h) " + in +
                  "\n%j ? = Conv(%i, %w)\n%y ? = Transpose(%j) " + out),
            "Transpose outpost.FusedConv outpost.FusedConv Conv Transpose");
}

TEST(Pads, go_into_the_window) {
  const std::string pad = "input %x f32[1,2,4,4]\n" + weights + "const %p i64[8] {0, 0, 1, 2, 0, 0, 0, 1}\n%a ? = Pad(%x, %p)\n";
  EXPECT_EQ(fused(pad + "%y ? = Conv(%a, %w)"), "Conv");
  EXPECT_EQ(fused(pad + "%y ? = AveragePool(%a) {kernel_shape = [3, 3]}"), "AveragePool");
  EXPECT_EQ(fused(pad + "%y ? = AveragePool(%a) {kernel_shape = [3, 3], pads = [1, 1, 1, 1]}"), "Pad AveragePool");
  EXPECT_EQ(fused(pad + "%y ? = MaxPool(%a) {kernel_shape = [3, 3]}"), "Pad MaxPool") << "0 may be the largest";
  EXPECT_EQ(fused("input %x f32[1,2,4,4]\nconst %p i64[8] {0, 0, 1, 2, 0, 0, 0, 1}\n%r ? = Relu(%x)\n%a ? = Pad(%r, %p)\n%y ? = MaxPool(%a) {kernel_shape = [3, 3]}"), "Relu MaxPool");
  EXPECT_EQ(fused("input %x f32[1,2,4,4]\nconst %p i64[8] {0, 0, 1, 1, 0, 0, 1, 1}\n%r ? = Relu(%x)\n%a ? = Pad(%r, %p)\n%y ? = MaxPool(%a) {kernel_shape = [2, 2], dilations = [2, 2]}"), "Relu Pad MaxPool") << "a window may hold padding only";
  EXPECT_EQ(fused("input %x f32[1,2,4,4]\nconst %v f32[] {-inf}\nconst %p i64[8] {0, 0, 1, 1, 0, 0, 1, 1}\n%a ? = Pad(%x, %p, %v)\n%y ? = MaxPool(%a) {kernel_shape = [2, 2]}"), "MaxPool");
  EXPECT_EQ(fused("input %x f32[1,2,4,4]\n" + weights + "const %p i64[8] {0, 0, 1, 0, 0, 0, 1, 0}\n%a ? = Pad(%x, %p) {mode = \"edge\"}\n%y ? = Conv(%a, %w)"), "Pad Conv");
}

TEST(Pads, mean_over_space) {
  EXPECT_EQ(fused("input %x f32[2,3,4,5]\nconst %a i64[2] {-1, 2}\n%y ? = ReduceMean(%x, %a)"), "GlobalAveragePool");
  EXPECT_EQ(fused("input %x f32[2,3,4,5]\nconst %a i64[2] {2, 3}\n%y ? = ReduceMean(%x, %a) {keepdims = 0}"), "GlobalAveragePool Squeeze");
  EXPECT_EQ(fused("input %x f32[2,3,4,5]\nconst %a i64[2] {1, 2}\n%y ? = ReduceMean(%x, %a)"), "ReduceMean");
}

TEST(FuseMatmul, transpositions_and_factors) {
  const std::string ab = "input %a f32[2,3,4]\ninput %b f32[2,5,4]\nconst %k f32[] {0.125}\n";
  EXPECT_EQ(fused(ab + "%t ? = Transpose(%b) {perm = [0, 2, 1]}\n%m ? = MatMul(%a, %t)\n%y ? = Div(%m, %k)"), "com.microsoft.FusedMatMul");
  EXPECT_EQ(fused(ab + "%s ? = Mul(%a, %k)\n%t ? = Transpose(%b) {perm = [0, 2, 1]}\n%y ? = MatMul(%s, %t)"), "com.microsoft.FusedMatMul");
  EXPECT_EQ(fused("input %a f32[2,3,4]\ninput %b f32[2,4,5]\n%t ? = Transpose(%a) {perm = [1, 0, 2]}\n%u ? = Transpose(%t) {perm = [1, 0, 2]}\n%y ? = MatMul(%u, %b)"), "MatMul");
  EXPECT_EQ(fused("input %a f32[2,3,4]\ninput %b f32[2,4,5]\nconst %k f32[5] {1, 2, 3, 4, 5}\n%m ? = MatMul(%a, %b)\n%y ? = Mul(%m, %k)"), "MatMul Mul");
}

TEST(FuseMatmul, gemm) {
  EXPECT_EQ(fused("input %a f32[4,3]\ninput %b f32[5,4]\n%s ? = Transpose(%a)\n%t ? = Transpose(%b)\n%m ? = Gemm(%s, %t)\n%y ? = Transpose(%m)"), "Gemm");
}

}  // namespace
}  // namespace outpost::test
