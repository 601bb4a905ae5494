// Formulas as in ONNX's reference implementation (onnx/reference/ops/aionnxml), which ONNX Runtime agrees with.
#include "ops/ml/scores.h"

#include <algorithm>
#include <cmath>

namespace outpost::ml {
namespace {

float inverse_erf(float x) noexcept {
  const float sign = x < 0 ? -1.0f : 1.0f, rest = (1 - x) * (1 + x);
  const float logarithm = std::log(rest), v = 2 / (3.14159265f * 0.147f) + 0.5f * logarithm, w = 1 / 0.147f * logarithm;
  return sign * std::sqrt(-v + std::sqrt(v * v - w));
}

void softmax(float* s, int64_t n, bool keep_zeros) noexcept {
  const float peak = *std::max_element(s, s + n);
  float sum = 0;
  for (int64_t i = 0; i < n; ++i) {
    const bool counts = !keep_zeros || s[i] > 1e-7f || s[i] < -1e-7f;
    s[i] = counts ? std::exp(s[i] - peak) : s[i] * std::exp(-peak);
    sum += s[i];
  }
  for (int64_t i = 0; i < n; ++i) s[i] = keep_zeros && sum == 0 ? 0.5f : s[i] / sum;
}

}  // namespace

PostTransform post_transform(const Node& node) {
  const auto name = node.attributes.string("post_transform", "NONE");
  static constexpr std::string_view names[] = {"NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT"};
  for (size_t i = 0; i < 5; ++i)
    if (name == names[i]) return static_cast<PostTransform>(i);
  fail(ErrorCode::invalid_model, node.label(), ": post_transform is '", name, "'; expected NONE, SOFTMAX, LOGISTIC, SOFTMAX_ZERO or PROBIT");
}

float logistic(float x) noexcept {
  const float v = 1 / (1 + std::exp(-std::fabs(x)));
  return x < 0 ? 1 - v : v;
}

float probit(float x) noexcept { return 1.41421356f * inverse_erf(2 * x - 1); }

void transform(PostTransform post, float* s, int64_t n) noexcept {
  if (n == 0 || (n == 1 && post != PostTransform::probit)) return;
  switch (post) {
    case PostTransform::none: return;
    case PostTransform::softmax: return softmax(s, n, false);
    case PostTransform::softmax_zero: return softmax(s, n, true);
    case PostTransform::logistic: std::transform(s, s + n, s, logistic); return;
    case PostTransform::probit: std::transform(s, s + n, s, probit); return;
  }
}

Labels Labels::of(const Attributes& a, const char* integer_attribute) { return {a.integers(integer_attribute), a.strings("classlabels_strings")}; }

void Labels::write(View& y, int64_t position, int64_t label) const {
  const auto at = static_cast<size_t>(label);
  if (!strings.empty()) y.as<std::string>()[position] = at < strings.size() ? strings[at] : std::string();
  else y.as<int64_t>()[position] = at < integers.size() ? integers[at] : label;
}

Matrix matrix(const View& v) noexcept {
  if (v.rank() == 1) return {1, v.dim(0)};
  return {v.dim(0), v.dim(1)};
}

Dim rows_of(const InferContext& c, int i) {
  if (!c.ranked(i)) return {};
  c.require(c.rank(i) == 1 || c.rank(i) == 2, "input ", i, " has rank ", c.rank(i), "; expected 1 or 2");
  return c.rank(i) == 1 ? Dim(1) : c.dims(i)[0];
}

Dim columns_of(const InferContext& c, int i) {
  if (!c.ranked(i) || c.rank(i) == 0) return {};
  return c.dims(i).back();
}

void require_features(const InferContext& c, int i) { c.require_dtype(i, {DType::f32, DType::f64, DType::f16, DType::i64, DType::i32}); }

}  // namespace outpost::ml
