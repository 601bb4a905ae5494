// Rotary positions from their parts, and the attention of a LLaMA layer whole.
#include "passes/pass_check.h"

namespace outpost::test {
namespace {

const std::string angles =
    "input %a f32[2,5,2]\nconst %one i64[1] {1}\nconst %scale f32[] {1}\n%aa ? = Concat(%a, %a) {axis = -1}\n%cos3 ? = Cos(%aa)\n%sin3 ? = Sin(%aa)\n"
    "%cosm ? = Mul(%cos3, %scale)\n%cos ? = Unsqueeze(%cosm, %one)\n%sin ? = Unsqueeze(%sin3, %one)\n"
    "const %0 i64[1] {0}\nconst %2 i64[1] {2}\nconst %end i64[1] {9223372036854775807}\nconst %last i64[1] {3}\n";

std::string rotated(const std::string& x, const std::string& y) {
  auto v = [&](const std::string& n) { return "%" + x + n; };
  return v("1") + " ? = Slice(%" + x + ", %0, %2, %last)\n" + v("2") + " ? = Slice(%" + x + ", %2, %end, %last)\n" + v("3") + " ? = Neg(" + v("2") + ")\n" + v("4") +
         " ? = Concat(" + v("3") + ", " + v("1") + ") {axis = -1}\n" + v("5") + " ? = Mul(" + v("4") + ", %sin)\n" + v("6") + " ? = Mul(%" + x + ", %cos)\n%" + y + " ? = Add(" +
         v("6") + ", " + v("5") + ")\n";
}

bool has(const std::string& list, const std::string& op) { return (" " + list + " ").find(" " + op + " ") != std::string::npos; }

TEST(RecogniseRotary, halves_turned_by_angles) {
  const std::string found = after("input %x f32[2,3,5,4]\n" + angles + rotated("x", "y") + "output %y \"y\"", Stage::recognise);
  EXPECT_TRUE(has(found, "RotaryEmbedding")) << found;
  EXPECT_FALSE(has(found, "Neg")) << found;
}

TEST(RecogniseRotary, angles_that_differ_between_the_halves_stay) {
  const std::string found = after("input %x f32[2,3,5,4]\ninput %cos f32[2,1,5,4]\ninput %sin f32[2,1,5,4]\nconst %0 i64[1] {0}\nconst %2 i64[1] {2}\n"
                                  "const %end i64[1] {9223372036854775807}\nconst %last i64[1] {3}\n" + rotated("x", "y") + "output %y \"y\"", Stage::recognise);
  EXPECT_FALSE(has(found, "RotaryEmbedding")) << found;
}

TEST(RecogniseRotary, a_layer_with_grouped_heads_comes_to_attention_on_rows) {
  const std::string layer =
      "input %xq f32[2,5,16]\ninput %xk f32[2,5,8]\ninput %xv f32[2,5,8]\ninput %m f32[2,1,5,5]\nconst %root f32[] {0.5}\n"
      "const %qs i64[4] {0, 0, 4, 4}\nconst %ks i64[4] {0, 0, 2, 4}\nconst %join i64[3] {0, 0, 16}\nconst %wide i64[5] {2, 2, 2, 5, 4}\nconst %flat i64[4] {2, 4, 5, 4}\n"
      "%qr ? = Reshape(%xq, %qs)\n%kr ? = Reshape(%xk, %ks)\n%vr ? = Reshape(%xv, %ks)\n%q ? = Transpose(%qr) {perm = [0, 2, 1, 3]}\n"
      "%k ? = Transpose(%kr) {perm = [0, 2, 1, 3]}\n%v ? = Transpose(%vr) {perm = [0, 2, 1, 3]}\n";
  const std::string rest =
      "%ku ? = Unsqueeze(%kt, %2)\n%ke ? = Expand(%ku, %wide)\n%kf ? = Reshape(%ke, %flat)\n%vu ? = Unsqueeze(%v, %2)\n%ve ? = Expand(%vu, %wide)\n%vf ? = Reshape(%ve, %flat)\n"
      "%kx ? = Transpose(%kf) {perm = [0, 1, 3, 2]}\n%p ? = MatMul(%qt, %kx)\n%s ? = Mul(%p, %root)\n%b ? = Add(%s, %m)\n%w ? = Softmax(%b) {axis = -1}\n%o ? = MatMul(%w, %vf)\n"
      "%ot ? = Transpose(%o) {perm = [0, 2, 1, 3]}\n%y ? = Reshape(%ot, %join)\noutput %y \"y\"";
  const std::string found = after(angles + layer + rotated("q", "qt") + rotated("k", "kt") + rest, Stage::recognise);
  EXPECT_TRUE(has(found, "RotaryEmbedding") && has(found, "Attention")) << found;
  EXPECT_FALSE(has(found, "Transpose") || has(found, "Expand")) << found;
}

}  // namespace
}  // namespace outpost::test
