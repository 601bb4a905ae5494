// The table of dtypes: names (ours, ONNX's, numpy's and ml_dtypes') and sizes.
#include <array>

#include "base/text.h"
#include "outpost/tensor.h"

namespace outpost {

namespace {

struct Row {
  std::string_view name, onnx, numpy;
  int bits;
};

constexpr int string_bits = 8 * sizeof(std::string);
// In the order of the enumeration.
constexpr std::array<Row, 27> rows{{
    {"undefined", "UNDEFINED", "", 0},
    {"f32", "FLOAT", "float32", 32},
    {"u8", "UINT8", "uint8", 8},
    {"i8", "INT8", "int8", 8},
    {"u16", "UINT16", "uint16", 16},
    {"i16", "INT16", "int16", 16},
    {"i32", "INT32", "int32", 32},
    {"i64", "INT64", "int64", 64},
    {"string", "STRING", "object", string_bits},
    {"bool", "BOOL", "bool", 8},
    {"f16", "FLOAT16", "float16", 16},
    {"f64", "DOUBLE", "float64", 64},
    {"u32", "UINT32", "uint32", 32},
    {"u64", "UINT64", "uint64", 64},
    {"complex64", "COMPLEX64", "c64", 64},
    {"complex128", "COMPLEX128", "c128", 128},
    {"bf16", "BFLOAT16", "bfloat16", 16},
    {"f8e4m3fn", "FLOAT8E4M3FN", "float8_e4m3fn", 8},
    {"f8e4m3fnuz", "FLOAT8E4M3FNUZ", "float8_e4m3fnuz", 8},
    {"f8e5m2", "FLOAT8E5M2", "float8_e5m2", 8},
    {"f8e5m2fnuz", "FLOAT8E5M2FNUZ", "float8_e5m2fnuz", 8},
    {"u4", "UINT4", "uint4", 4},
    {"i4", "INT4", "int4", 4},
    {"f4e2m1", "FLOAT4E2M1", "float4_e2m1fn", 4},
    {"f8e8m0", "FLOAT8E8M0", "float8_e8m0fnu", 8},
    {"u2", "UINT2", "uint2", 2},
    {"i2", "INT2", "int2", 2},
}};

const Row& row(DType dtype) noexcept {
  auto i = static_cast<size_t>(dtype);
  return rows[i < rows.size() ? i : 0];
}

}  // namespace

std::string_view name(DType dtype) noexcept { return row(dtype).name; }

int bits(DType dtype) noexcept { return row(dtype).bits; }

DType dtype_from_name(std::string_view text) noexcept {
  if (text == "str") return DType::string;
  if (text == "bool_") return DType::boolean;
  for (size_t i = 1; i < rows.size(); ++i)
    if (text == rows[i].name || text == rows[i].onnx || text == rows[i].numpy) return static_cast<DType>(i);
  return DType::undefined;
}

size_t bytes_for(DType dtype, int64_t count) {
  const auto width = static_cast<uint64_t>(bits(dtype));
  constexpr uint64_t most = uint64_t(1) << 62;
  if (count < 0 || (width && static_cast<uint64_t>(count) > most / width))
    fail(ErrorCode::limit, count, " elements of ", dtype, " do not fit in memory");
  return static_cast<size_t>((static_cast<uint64_t>(count) * width + 7) / 8);
}

}  // namespace outpost
