// Cast, CastLike, BitCast: every dtype to every other. Numbers go through tensor/convert.h; strings are parsed and
// printed here, printed as numpy does: the shortest digits that read back as the same value of that dtype.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>

#include "ops/elementwise.h"
#include "tensor/convert.h"
#include "tensor/float_types.h"

namespace outpost {

namespace {

struct CastOptions {
  bool saturate = true;
  E8M0Round round = E8M0Round::up;
};

std::shared_ptr<const void> prepare(const PrepareContext& c) {
  const auto mode = c.attributes().string("round_mode", "up");
  return std::make_shared<CastOptions>(CastOptions{
      c.attributes().integer("saturate", 1) != 0,
      mode == "down" ? E8M0Round::down : mode == "nearest" ? E8M0Round::nearest : E8M0Round::up});
}

// ---- numbers
void to_e8m0(RunContext& c, const View& x, View& y, const CastOptions& options) {
  c.parallel_ranges(x.count(), elementwise_grain, [&](int64_t begin, int64_t end) {
    TileBuffer buffer;
    auto* values = reinterpret_cast<const float*>(buffer.bytes);
    for (int64_t i = begin; i < end; i += elementwise_tile) {
      const int64_t n = std::min(elementwise_tile, end - i);
      load_tile(x.dtype, x.data, i, n, DType::f32, buffer.bytes);
      for (int64_t j = 0; j < n; ++j) y.as<uint8_t>()[i + j] = f32_to_e8m0(values[j], options.saturate, options.round);
    }
  });
}

// Elements [begin, begin + n), begin a multiple of what shares a byte.
void cast_range(const View& x, View& y, int64_t begin, int64_t n, bool saturate) {
  const auto at = [begin](const View& v) { return v.as<char>() + begin * bits(v.dtype) / 8; };
  if (y.dtype == DType::f32 && compute_type(x.dtype) == DType::f32)
    load_tile(x.dtype, x.data, begin, n, DType::f32, at(y));
  else if (x.dtype == DType::f32 && (y.dtype == DType::f16 || y.dtype == DType::bf16))
    store_tile(DType::f32, at(x), n, y.dtype, y.data, begin);
  else convert(x.dtype, at(x), y.dtype, at(y), n, saturate);
}

// ---- text
std::string_view trim(std::string_view s) {
  while (!s.empty() && std::strchr(" \t\r\n", s.front())) s.remove_prefix(1);
  while (!s.empty() && std::strchr(" \t\r\n", s.back())) s.remove_suffix(1);
  if (s.size() > 1 && s.front() == '+' && s[1] != '-') s.remove_prefix(1);
  return s;
}

template <class T>
bool parse(std::string_view s, T& value) {
  const auto [end, error] = std::from_chars(s.data(), s.data() + s.size(), value);
  if (error == std::errc::result_out_of_range && std::is_floating_point_v<T>)
    value = static_cast<T>(std::strtod(std::string(s).c_str(), nullptr));
  else if (error != std::errc()) return false;
  return end == s.data() + s.size();
}

// An element of `type` from text; what is no number is an error.
bool parse_element(std::string_view s, DType type, void* to, int64_t index, bool saturate) {
  s = trim(s);
  int64_t whole;
  uint64_t natural;
  double real;
  if (compute_type(type) == DType::i64 && parse(s, whole)) store(DType::i64, &whole, 1, type, to, index);
  else if (compute_type(type) == DType::u64 && parse(s, natural)) store(DType::u64, &natural, 1, type, to, index);
  else if (type == DType::f32) return parse(s, static_cast<float*>(to)[index]);
  else if (parse(s, real)) store(DType::f64, &real, 1, type, to, index, saturate);
  else return false;
  return true;
}

void from_strings(RunContext& c, const View& x, View& y, bool saturate) {
  auto* words = x.as<std::string>();
  // Packed types are written a whole byte of elements at a time.
  for (int64_t i = 0, n = x.count(); i < n; ++i) {
    const bool truth = y.dtype == DType::boolean &&
                       (words[i] == "True" || words[i] == "true" || words[i] == "False" || words[i] == "false");
    if (truth) y.as<bool>()[i] = words[i][0] == 'T' || words[i][0] == 't';
    else if (!parse_element(words[i], y.dtype, y.data, i, saturate))
      c.fail("element ", i, " is \"", words[i].substr(0, 40), "\", which is no number to cast to ", y.dtype);
  }
}

// Positional between 1e-4 and 1e16, else scientific, as numpy.
std::string print(double value, DType type) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  char digits[64];
  char* end = digits;
  const double size = std::fabs(value);
  const bool scientific = size != 0 && (size < 1e-4 || size >= 1e16);
  const auto format = scientific ? std::chars_format::scientific : std::chars_format::fixed;
  if (type == DType::f64) {
    end = std::to_chars(digits, digits + sizeof digits, value, format).ptr;
  } else if (type == DType::f32) {
    end = std::to_chars(digits, digits + sizeof digits, static_cast<float>(value), format).ptr;
  } else {  // the fewest digits that the narrow type rounds back to the same code
    uint16_t wanted = 0, found = 0;
    store(DType::f64, &value, 1, type, &wanted, 0);
    for (int precision = 1; precision < 9; ++precision) {
      double candidate;
      char* last =
          std::to_chars(digits, digits + sizeof digits, value, std::chars_format::scientific, precision - 1).ptr;
      std::from_chars(digits, last, candidate);
      store(DType::f64, &candidate, 1, type, &found, 0);
      if (found != wanted) continue;
      value = candidate;
      break;
    }
    end = std::to_chars(digits, digits + sizeof digits, value, format).ptr;
  }
  std::string out(digits, end);
  if (!scientific && out.find('.') == out.npos) out += ".0";
  return out;
}

void to_strings(const View& x, View& y) {
  auto* words = y.as<std::string>();
  for (int64_t i = 0, n = x.count(); i < n; ++i) {
    int64_t whole;
    uint64_t natural;
    double real;
    if (x.dtype == DType::boolean) {
      words[i] = x.as<uint8_t>()[i] ? "True" : "False";
    } else if (compute_type(x.dtype) == DType::i64) {
      load(x.dtype, x.data, i, 1, DType::i64, &whole);
      words[i] = text(whole);
    } else if (compute_type(x.dtype) == DType::u64) {
      load(x.dtype, x.data, i, 1, DType::u64, &natural);
      words[i] = text(natural);
    } else {
      load(x.dtype, x.data, i, 1, DType::f64, &real);
      words[i] = print(real, x.dtype);
    }
  }
}

void run(RunContext& c) {
  const View& x = c.in(0);
  View& y = c.out(0);
  const auto& options = c.prepared<CastOptions>();
  if (x.dtype == DType::string && y.dtype == DType::string)
    std::copy_n(x.as<std::string>(), x.count(), y.as<std::string>());
  else if (x.dtype == DType::string) from_strings(c, x, y, options.saturate);
  else if (y.dtype == DType::string) to_strings(x, y);
  else if (y.dtype == DType::f8e8m0 && x.dtype != y.dtype) to_e8m0(c, x, y, options);
  else
    c.parallel_ranges(x.count(), elementwise_grain,
                      [&](int64_t begin, int64_t end) { cast_range(x, y, begin, end - begin, options.saturate); });
}

void infer_to(InferContext& c, DType to) {
  const auto mode = c.attributes().string("round_mode", "up");
  c.require(mode == "up" || mode == "down" || mode == "nearest", "round_mode is \"", mode,
            "\"; expected up, down or nearest");
  Type t = c.input(0);
  const auto is_complex = [](DType d) { return d == DType::complex64 || d == DType::complex128; };
  c.require(!is_complex(t.dtype) && !is_complex(to), "cannot cast ", t.dtype, " to ", to,
            ": complex numbers are not cast");
  t.dtype = to;
  c.output(0, std::move(t));
}

DType wanted_dtype(const InferContext& c) {
  const int64_t to = c.attributes().integer("to", 0);
  c.require(to >= 1 && to <= 26, "attribute 'to' is ", to, "; expected a TensorProto.DataType of 1..26");
  return static_cast<DType>(to);
}

void infer_cast(InferContext& c) { infer_to(c, wanted_dtype(c)); }
void infer_cast_like(InferContext& c) { infer_to(c, c.dtype(1)); }

// `to` was a name before opset 6.
void upgrade_cast(UpgradeContext& c) {
  upgrade_consumed_inputs(c);
  const Attribute* to = c.attributes().find("to");
  if (!to || !std::holds_alternative<std::string>(*to)) return;
  const DType dtype = dtype_from_name(std::get<std::string>(*to));
  c.node.attributes.set("to", static_cast<int64_t>(dtype));
}

bool differentiable(DType d) { return contains(floats | float8s, d); }
void gradient(GradientContext& c) {
  if (c.wants(0) && differentiable(c.in(0)->type.dtype) && differentiable(c.out(0)->type.dtype))
    c.set(0, c.emit("CastLike", {c.grad(), c.in(0)}));
}

void infer_bit_cast(InferContext& c) {
  Type t = c.input(0);
  const DType to = wanted_dtype(c);
  c.require(t.dtype != DType::string && to != DType::string, "strings have no bits to reinterpret");
  c.require(t.dtype == DType::undefined || bits(t.dtype) == bits(to), "cannot view ", t.dtype, " as ", to, ": ",
            bits(t.dtype), " and ", bits(to), " bits");
  t.dtype = to;
  c.output(0, std::move(t));
}
void run_bit_cast(RunContext& c) {
  if (c.out(0).data != c.in(0).data && c.in(0).count()) std::memcpy(c.out(0).data, c.in(0).data, c.in(0).bytes());
}

}  // namespace

OUTPOST_DEFINE_OP(
    Cast, .name = "Cast", .since = 28, .doc = "values in another dtype", .infer = infer_cast, .run = run,
    .upgrade = upgrade_cast, .gradient = gradient, .prepare = prepare,
    .cases =
        "to=11 | f32[2,3,4]\nto=10 | f32[7]\nto=7 | f32[5](-9,9)\nto=9 | f32[3]\nto=1 | f16[2,0]\n"
        "to=22 | f32[7](-8,7)\nto=1 | i4[5](-8,8)\n"
        "to=8 | f32[3]\nto=1 | string[3]={\"1.5\",\"-2e3\",\"NaN\"}\nto=17 | f64[9]\nto=6 | i64[](-9,9)");
OUTPOST_DEFINE_OP(CastLike, .name = "CastLike", .since = 25, .first = 15, .min_inputs = 2, .max_inputs = 2,
                  .doc = "values in the dtype of another tensor", .infer = infer_cast_like, .run = run,
                  .gradient = gradient, .prepare = prepare,
                  .cases = "| f32[2,3,4] f64[1]\n| f32[7] f16[1]\n| i32[3](-9,9) f32[]\n| f32[0] i64[1]");
OUTPOST_DEFINE_OP(BitCast, .name = "BitCast", .since = 26, .first = 26,
                  .doc = "the same bits as another dtype of the same width", .infer = infer_bit_cast,
                  .run = run_bit_cast, .no_gradient = "bits, not values", .view_only = true,
                  .cases = "to=6 | f32[2,3]\nto=3 | u8[4](0,255)\nto=7 | f64[]\nto=6 | f32[0]");

}  // namespace outpost
