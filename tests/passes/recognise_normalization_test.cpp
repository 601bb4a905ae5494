// LayerNormalization and RMSNormalization from their parts.
#include "passes/pass_check.h"

namespace outpost::test {
namespace {

const std::string constants =
    "const %axis i64[1] {-1}\nconst %first i64[1] {0}\nconst %two f32[] {2}\nconst %one f32[] {1}\nconst %eps f32[] {0.001}\n"
    "const %scale f32[4] {1, 2, 3, 4}\nconst %bias f32[4] {4, 3, 2, 1}\nconst %power f32[] {-0.5}\n";

std::string of(const std::string& nodes, const std::string& input = "f32[2,3,4]") {
  return after("input %x " + input + "\n" + constants + nodes + "\noutput %y \"y\"", Stage::recognise);
}

const std::string centred = "%m ? = ReduceMean(%x, %axis)\n%d ? = Sub(%x, %m)\n";
const std::string variance = "%p ? = Pow(%d, %two)\n%v ? = ReduceMean(%p, %axis)\n%a ? = Add(%v, %eps)\n";
const std::string affine = "%s ? = Mul(%n, %scale)\n%y ? = Add(%s, %bias)";

TEST(RecogniseNormalization, layer_normalization) {
  EXPECT_EQ(of(centred + variance + "%r ? = Sqrt(%a)\n%n ? = Div(%d, %r)\n" + affine), "LayerNormalization");
  EXPECT_EQ(of(centred + "%p ? = Mul(%d, %d)\n%v ? = ReduceMean(%p, %axis)\n%a ? = Add(%eps, %v)\n%r ? = Sqrt(%a)\n%i ? = Reciprocal(%r)\n%n ? = Mul(%i, %d)\n" + affine),
            "LayerNormalization");
  EXPECT_EQ(of(centred + variance + "%i ? = Pow(%a, %power)\n%n ? = Mul(%d, %i)\n" + affine), "LayerNormalization");
  EXPECT_EQ(of(centred + variance + "%r ? = Sqrt(%a)\n%n ? = Div(%d, %r)\n%y ? = Mul(%scale, %n)"), "LayerNormalization");
  EXPECT_EQ(of(centred + variance + "%r ? = Sqrt(%a)\n%y ? = Div(%d, %r)"), "LayerNormalization");
  EXPECT_EQ(of("%m ? = ReduceMean(%x, %axis)\n%d ? = Sub(%x, %m)\n%e ? = Sub(%x, %m)\n%p ? = Pow(%e, %two)\n%v ? = ReduceMean(%p, %axis)\n"
               "%a ? = Add(%v, %eps)\n%r ? = Sqrt(%a)\n%n ? = Div(%d, %r)\n" + affine),
            "LayerNormalization") << "the difference twice";
}

TEST(RecogniseNormalization, other_axes_stay) {
  const std::string nodes = "%m ? = ReduceMean(%x, %first)\n%d ? = Sub(%x, %m)\n%p ? = Pow(%d, %two)\n%v ? = ReduceMean(%p, %first)\n%a ? = Add(%v, %eps)\n"
                            "%r ? = Sqrt(%a)\n%n ? = Div(%d, %r)\n" + affine;
  EXPECT_EQ(of(nodes).find("LayerNormalization"), std::string::npos);
}

TEST(RecogniseNormalization, rms_normalization) {
  const std::string square = "%p ? = Pow(%x, %two)\n%v ? = ReduceMean(%p, %axis)\n%a ? = Add(%v, %eps)\n%r ? = Sqrt(%a)\n";
  EXPECT_EQ(of(square + "%n ? = Div(%x, %r)\n%y ? = Mul(%n, %scale)"), "RMSNormalization");
  EXPECT_EQ(of(square + "%i ? = Div(%one, %r)\n%n ? = Mul(%x, %i)\n%y ? = Mul(%scale, %n)"), "RMSNormalization");
  EXPECT_EQ(after("input %h f16[2,4]\nconst %w f16[4] {1, 2, 3, 4}\n" + constants + "%x ? = Cast(%h) {to = 1}\n" + square +
                      "%n ? = Div(%x, %r)\n%c ? = Cast(%n) {to = 10}\n%y ? = Mul(%w, %c)\noutput %y \"y\"", Stage::recognise),
            "RMSNormalization");
}

TEST(RecogniseNormalization, casts_around_the_statistics_go) {
  EXPECT_EQ(after("input %h f16[2,4]\nconst %w f16[4] {1, 2, 3, 4}\nconst %b f16[4] {1, 2, 3, 4}\n" + constants +
                      "%m ? = ReduceMean(%h, %axis)\n%s ? = Sub(%h, %m)\n%d ? = Cast(%s) {to = 1}\n" + variance +
                      "%r ? = Sqrt(%a)\n%n ? = Div(%d, %r)\n%c ? = Cast(%n) {to = 10}\n%t ? = Mul(%c, %w)\n%y ? = Add(%t, %b)\noutput %y \"y\"", Stage::recognise),
            "LayerNormalization");
}

}  // namespace
}  // namespace outpost::test
