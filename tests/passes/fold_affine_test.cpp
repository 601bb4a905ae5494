// What scales and shifts channels goes into weights.
#include "passes/pass_check.h"

namespace outpost::test {
namespace {

// Constants of uneven values: "const %name f32[dims] {…}".
std::string constant(const std::string& name, Shape shape, double scale = 1, const char* dtype = "f32", double offset = 0) {
  std::string out = "const %" + name + " " + dtype + to_string(shape) + " {";
  for (int64_t i = 0; i < shape.count(); ++i) out += (i ? ", " : "") + std::to_string(offset + scale * std::sin(1.7 * static_cast<double>(i) + static_cast<double>(name[0])));
  return out + "}\n";
}

std::string norm(int64_t c) {
  return constant("s", {c}) + constant("o", {c}) + constant("m", {c}) + constant("v", {c}, 0.4, "f32", 1);
}

std::string of(const std::string& body) { return after(body + "output %y \"y\""); }

TEST(FoldAffine, batch_normalisation_into_convolutions) {
  const std::string x = "input %x f32[2,4,5,5]\n", bn = "%y ? = BatchNormalization(%c, %s, %o, %m, %v)\n";
  EXPECT_EQ(of(x + constant("w", {6, 4, 3, 3}) + norm(6) + "%c ? = Conv(%x, %w)\n" + bn), "Conv");
  EXPECT_EQ(of(x + constant("w", {6, 2, 3, 3}) + constant("b", {6}) + norm(6) + "%c ? = Conv(%x, %w, %b) {group = 2}\n" + bn), "Conv");
  EXPECT_EQ(of(x + constant("w", {4, 3, 2, 2}) + constant("b", {6}) + norm(6) + "%c ? = ConvTranspose(%x, %w, %b) {group = 2}\n" + bn), "ConvTranspose");
  EXPECT_EQ(of(x + constant("w", {6, 4, 3, 3}) + norm(6) + "%c ? = Conv(%x, %w)\n" + bn + "output %c \"c\"\n"), "Conv BatchNormalization");
}

TEST(FoldAffine, arithmetic_per_channel) {
  const std::string x = "input %x f32[2,4,5,5]\n" + constant("w", {6, 4, 1, 1}) + "%c ? = Conv(%x, %w)\n";
  EXPECT_EQ(of(x + constant("k", {6, 1, 1}) + "%y ? = Mul(%k, %c)\n"), "Conv");
  EXPECT_EQ(of(x + constant("k", {1, 6, 1, 1}) + "%y ? = Add(%c, %k)\n"), "Conv");
  EXPECT_EQ(of(x + constant("k", {1}) + "%d ? = Sub(%c, %k)\n%y ? = Div(%d, %k)\n"), "Conv");
  EXPECT_EQ(of(x + constant("k", {5}) + "%y ? = Mul(%c, %k)\n"), "Conv Mul") << "along the width";
  EXPECT_EQ(of(x + constant("k", {1, 1, 6, 1, 1}) + "%y ? = Mul(%c, %k)\n"), "Conv Mul") << "of higher rank";
  EXPECT_EQ(of(x + constant("k", {6, 1, 1}) + "%y ? = Div(%k, %c)\n"), "Conv Div") << "divided by";
}

TEST(FoldAffine, matrix_products) {
  EXPECT_EQ(of("input %x f32[3,4]\n" + constant("w", {4, 6}) + norm(6) + "%c ? = MatMul(%x, %w)\n%y ? = BatchNormalization(%c, %s, %o, %m, %v)\n"), "outpost.Linear");
  EXPECT_EQ(of("input %x f32[3,4]\n" + constant("w", {6, 4}) + constant("b", {6}) + norm(6) + "%c ? = Gemm(%x, %w, %b) {transB = 1}\n%y ? = BatchNormalization(%c, %s, %o, %m, %v)\n"), "outpost.Linear");
  EXPECT_EQ(of("input %x f32[2,3,4]\n" + constant("w", {4, 6}) + constant("k", {6}) + "%c ? = MatMul(%x, %w)\n%y ? = Mul(%c, %k)\n"), "outpost.Linear");
}

TEST(FoldAffine, half_precision_keeps_small_weights) {
  const std::string x = "input %x f16[1,2,4,4]\n" + constant("w", {2, 2, 1, 1}, 1e-2, "f16") + "%c ? = Conv(%x, %w)\n";
  EXPECT_EQ(of(x + "const %k f16[] {0.5}\n%y ? = Mul(%c, %k)\n"), "Conv");
  EXPECT_EQ(of(x + "const %k f16[] {0.001}\n%y ? = Mul(%c, %k)\n"), "Conv Mul") << "the weights would be denormal";
}

TEST(FuseConv, residual_and_activation) {
  const std::string x = "input %x f32[2,4,5,5]\ninput %r f32[2,6,5,5]\n" + constant("w", {6, 4, 1, 1}) + constant("b", {6}) + "%c ? = Conv(%x, %w, %b)\n";
  EXPECT_EQ(of(x + "%y ? = Relu(%c)\n"), "outpost.FusedConv");
  EXPECT_EQ(of(x + "%a ? = Add(%r, %c)\n%y ? = Relu(%a)\n"), "outpost.FusedConv");
  EXPECT_EQ(of(x + "%t ? = Sigmoid(%c)\n%y ? = Mul(%c, %t)\n"), "outpost.FusedConv");
  EXPECT_EQ(of(x + "%a ? = Add(%c, %r)\n%y ? = Relu(%a)\noutput %c \"c\"\n"), "Conv Add Relu");
  EXPECT_EQ(of(x + "%s ? = Relu(%c)\n%y ? = Tanh(%s)\n"), "outpost.FusedConv Tanh");
}

TEST(FuseLinear, bias_residual_and_activation) {
  const std::string x = "input %x f32[2,3,4]\ninput %r f32[2,3,6]\n" + constant("w", {4, 6}) + constant("b", {6}) + "%c ? = MatMul(%x, %w)\n";
  EXPECT_EQ(of(x + "%a ? = Add(%b, %c)\n%y ? = Gelu(%a)\n"), "outpost.Linear");
  EXPECT_EQ(of(x + "%a ? = Add(%c, %b)\n%d ? = Add(%r, %a)\n%y ? = Relu(%d)\n"), "outpost.Linear");
  EXPECT_EQ(of(x + "%a ? = Add(%c, %r)\n%y ? = Add(%a, %b)\n"), "outpost.Linear");
  EXPECT_EQ(of(x + "%a ? = Add(%c, %b)\n%y ? = Relu(%a)\noutput %a \"a\"\n"), "outpost.Linear Relu");
  EXPECT_EQ(of("input %x f32[3,4]\ninput %w f32[4,6]\n%c ? = MatMul(%x, %w)\n%y ? = Relu(%c)\n"), "outpost.Linear");
  EXPECT_EQ(of("input %x i32[3,4]\ninput %w i32[4,6]\n%c ? = MatMul(%x, %w)\n%y ? = Relu(%c)\n"), "MatMul Relu");
  EXPECT_EQ(of("input %x f32[3,4]\n" + constant("w", {6, 4}) + constant("b", {3, 1}) + "%y ? = Gemm(%x, %w, %b) {transB = 1}\n"), "Gemm");
}

}  // namespace
}  // namespace outpost::test
