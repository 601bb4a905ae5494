// What the classifiers and regressors of ai.onnx.ml share: transforms of scores, class labels, inputs as f32 or f64.
#pragma once
#include <string>
#include <vector>

#include "ops/op.h"

namespace outpost::ml {

enum class PostTransform : uint8_t { none, softmax, logistic, softmax_zero, probit };

// Throws Error(invalid_model) for unknown names.
PostTransform post_transform(const Node&);

float logistic(float) noexcept;
float probit(float) noexcept;  // with the approximation of erf's inverse that ONNX's reference has (2e-3)

// In place, on a vector of n scores. One score alone is changed by probit only, as ONNX Runtime has it.
void transform(PostTransform, float* scores, int64_t n) noexcept;

// Class labels: strings or integers, or neither (then the class's number).
struct Labels {
  std::vector<int64_t> integers;
  std::vector<std::string> strings;
  // classlabels_strings and the integer attribute of that name.
  static Labels of(const Attributes&, const char* integer_attribute);
  int64_t count() const noexcept { return static_cast<int64_t>(strings.empty() ? integers.size() : strings.size()); }
  DType dtype() const noexcept { return strings.empty() ? DType::i64 : DType::string; }
  void write(View& y, int64_t position, int64_t label) const;
};

// (rows, features) of an input of rank 2, or of rank 1 as one row.
struct Matrix {
  int64_t rows, columns;
};
Matrix matrix(const View&) noexcept;
Dim rows_of(const InferContext&, int i);     // unknown when the rank is; fails for ranks other than 1 and 2
Dim columns_of(const InferContext&, int i);

// Numbers that ai.onnx.ml calls features.
void require_features(const InferContext&, int i);
constexpr std::string_view no_gradient = "ai.onnx.ml models are not trained here";

}  // namespace outpost::ml
