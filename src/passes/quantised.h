// What the passes on quantised graphs share: a value seen as codes with one scale and zero point.
#pragma once
#include <optional>
#include <vector>

#include "passes/match.h"

namespace outpost::quantised {

// (scale, zero point) of a whole tensor, as constants and as numbers. `zero` may be null: 0.
struct Scale {
  Value* scale = nullptr;
  Value* zero = nullptr;
  float real = 1;
  int32_t point = 0;
  DType dtype = DType::u8;

  // The zero point where codes count from 0: i8 codes are moved up by 128.
  int32_t point_u8() const noexcept { return dtype == DType::i8 ? point + 128 : point; }
  bool operator==(const Scale& o) const noexcept { return real == o.real && point == o.point && dtype == o.dtype; }
};

struct Codes {
  Value* value = nullptr;
  Scale scale;
};

inline bool is_byte(DType t) noexcept { return t == DType::i8 || t == DType::u8; }

// Of constants with one value each; the scale is f32, finite and positive. `dtype`: of the codes.
inline std::optional<Scale> scale_of(Value* scale, Value* zero, DType dtype) {
  if (!is_byte(dtype) || !scale || !scale->is_constant() || scale->constant().dtype() != DType::f32) return {};
  if (scale->constant().count() != 1 || (zero && (!zero->is_constant() || zero->constant().count() != 1))) return {};
  Scale s{scale, zero, *scale->constant().data<float>(), 0, dtype};
  if (!(s.real > 0 && s.real < 1e30f)) return {};
  if (zero) s.point = dtype == DType::i8 ? *zero->constant().data<int8_t>() : *zero->constant().data<uint8_t>();
  return s;
}

// The codes behind a DequantizeLinear of one scale into f32.
inline std::optional<Codes> codes_of(const Value* v) {
  Node* n = v ? v->producer() : nullptr;
  if (!n || n->op != "DequantizeLinear" || v->type.dtype != DType::f32 || n->attributes.integer("block_size", 0) != 0) return {};
  const std::optional<Scale> s = scale_of(n->input(1), n->input(2), n->input(0)->type.dtype);
  if (!s) return {};
  return Codes{n->input(0), *s};
}

// A constant's values as f32 and i8 weights with a scale for each index of one axis.
struct Weights {
  Tensor codes;               // i8, zero points taken off, shaped as the value
  std::vector<float> scales;  // one for each index of `axis`, or one
};

// Codes with their zero points (null: 0; one, or one for each index of `axis`) taken off, as i8; nothing where that
// leaves i8. Shares memory where nothing changes.
std::optional<Tensor> without_zero(const Tensor& codes, const Tensor* zero, int axis);

// Weights behind a DequantizeLinear of a constant, whose scales lie along `axis` (or are one); nothing where a difference
// to a zero point leaves i8.
std::optional<Weights> weights_of(const Value* v, int axis);

// The sums that a bias adds, one for each of `count` channels: round(bias / (x_scale * weight scale)). From f32
// constants or a DequantizeLinear of constants; nothing where a value leaves int32.
std::optional<std::vector<int32_t>> bias_of(const Value* v, int64_t count, float x_scale, const std::vector<float>& scales);

// Puts `value` in the place of the node's only output and erases the node; false (and no change) for another dtype.
bool replace(Node& node, Value* value);

}  // namespace outpost::quantised
