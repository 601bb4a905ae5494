// Dropout (Srivastava et al. 2014), scaled where it drops, and com.microsoft's forms: a bias before and a residual
// after it (BiasDropout), masks of one bit an element (Bitmask…), and gradients given the mask.
#include <algorithm>

#include "ops/random_stream.h"
#include "tensor/convert.h"

namespace outpost {

namespace {

double dropout_ratio(RunContext& c) {
  double ratio = 0.5;
  if (c.has(1) && c.in(1).count() == 1) load(c.in(1).dtype, c.in(1).data, 0, 1, DType::f64, &ratio);
  c.require(ratio >= 0 && ratio < 1, "ratio is ", ratio, "; expected 0 up to but not including 1");
  return ratio;
}

template <class T>
void drop(RunContext& c, const View& x, View& y, uint8_t* mask, double ratio) {
  const T scale = static_cast<T>(1 / (1 - ratio));
  over_stream(c, c.prepared<RandomOptions>(), x.count(), 1, [&](int64_t begin, int64_t end, NumpyRandom* numpy) {
    Stream stream(c.random());
    T values[elementwise_tile];
    for (int64_t i = begin; i < end; i += elementwise_tile) {
      const int64_t n = std::min(elementwise_tile, end - i);
      load_tile(x.dtype, x.data, i, n, dtype_of<T>(), values);
      for (int64_t j = 0; j < n; ++j) {
        const bool kept = Draw{numpy, &stream, static_cast<uint64_t>(i + j)}.uniform() >= ratio;
        values[j] = kept ? values[j] * scale : T(0);
        if (mask) mask[i + j] = kept;
      }
      store_tile(dtype_of<T>(), values, n, y.dtype, y.data, i);
    }
  });
}

// Output 0; `mask` (a byte an element) may be null.
void run_with_mask(RunContext& c, uint8_t* mask) {
  const View& x = c.in(0);
  View& y = c.out(0);
  const bool training = c.has(2) && c.in(2).count() == 1 && *c.in(2).as<uint8_t>() != 0;
  const double ratio = training ? dropout_ratio(c) : 0;
  if (ratio == 0) {
    if (y.data != x.data) convert(x.dtype, x.data, y.dtype, y.data, x.count());
    if (mask) std::fill_n(mask, x.count(), uint8_t(1));
    return;
  }
  if (x.dtype == DType::f64) drop<double>(c, x, y, mask, ratio);
  else drop<float>(c, x, y, mask, ratio);
}

void run_dropout(RunContext& c) { run_with_mask(c, c.wants(1) ? c.out(1).as<uint8_t>() : nullptr); }

void infer_dropout(InferContext& c) {
  require_types(c, 0, floats | float8s);
  require_types(c, 1, floats | float8s);
  require_types(c, 2, booleans);
  c.output(0, c.input(0));
  Type mask = c.input(0);
  mask.dtype = DType::boolean;
  c.output(1, std::move(mask));
}

// Opset 1 and 6 drop unless is_test; their models are run, not trained, so they pass their input on like 7 to 10.
void upgrade_dropout(UpgradeContext& c) {
  upgrade_consumed_inputs(c);
  c.node.attributes.erase("is_test");
  if (c.from < 12) c.real_to_input("ratio", 1, DType::f32);
}

void gradient_dropout(GradientContext& c) {
  Value* training = c.in(2);
  if (!training || (training->is_constant() && training->constant().dtype() == DType::boolean &&
                    !*training->constant().data<bool>()))
    return c.set(0, c.grad());
  Value* mask = c.out(1) ? c.out(1) : c.graph().add_output(&c.node);
  if (!mask->type.is_tensor()) {
    mask->type = c.in(0)->type;
    mask->type.dtype = DType::boolean;
  }
  Value* one = c.like(c.grad(), 1);
  Value* ratio = c.has(1) ? c.emit("CastLike", {c.in(1), c.grad()}) : c.like(c.grad(), 0.5);
  Value* scale = c.emit("Where", {training, c.div(one, c.sub(one, ratio)), one});
  c.set(0, c.emit("Where", {mask, c.mul(c.grad(), scale), c.like(c.grad(), 0)}));
}

std::shared_ptr<const void> prepare(const PrepareContext& c) {
  return std::make_shared<RandomOptions>(random_options(c.attributes()));
}

// ---- masks as bits: element i is bit i % 32 of word i / 32
Type bitmask_type(const Type& x) {
  int64_t count = x.is_static() ? x.shape().count() : -1;
  return Type::tensor(DType::u32, Dims{count < 0 ? Dim() : Dim(count / 32 + (count % 32 != 0))});
}
void infer_bitmask(InferContext& c) {
  infer_dropout(c);
  c.output(1, bitmask_type(c.input(0)));
}
size_t scratch_bitmask(const ScratchContext& c) { return static_cast<size_t>(c.in(0).count()); }

void run_bitmask(RunContext& c) {
  uint8_t* mask = c.scratch<uint8_t>();
  run_with_mask(c, mask);
  if (!c.wants(1)) return;
  const int64_t count = c.in(0).count();
  auto* words = c.out(1).as<uint32_t>();
  std::fill_n(words, c.out(1).count(), 0u);
  for (int64_t i = 0; i < count; ++i) words[i / 32] |= uint32_t(mask[i]) << (i % 32);
}

void run_bitmask_grad(RunContext& c) {
  const View &x = c.in(0), &mask = c.in(1);
  View& y = c.out(0);
  c.require(mask.count() >= x.count() / 32 + (x.count() % 32 != 0), "the mask has ", mask.count(), " words for ",
            x.count(), " elements");
  double ratio = 0.5;
  if (c.has(2) && c.in(2).count() == 1) load(c.in(2).dtype, c.in(2).data, 0, 1, DType::f64, &ratio);
  c.require(ratio >= 0 && ratio < 1, "ratio is ", ratio, "; expected 0 up to but not including 1");
  const double scale = 1 / (1 - ratio);
  c.parallel_ranges(x.count(), elementwise_grain, [&](int64_t begin, int64_t end) {
    double values[elementwise_tile];
    for (int64_t i = begin; i < end; i += elementwise_tile) {
      const int64_t n = std::min(elementwise_tile, end - i);
      load(x.dtype, x.data, i, n, DType::f64, values);
      for (int64_t j = 0; j < n; ++j) values[j] *= mask.as<uint32_t>()[(i + j) / 32] >> ((i + j) % 32) & 1 ? scale : 0;
      store(DType::f64, values, n, y.dtype, y.data, i);
    }
  });
}
void infer_grad(InferContext& c) {
  require_types(c, 0, floats);
  c.output(0, c.input(0));
}

// Inputs dy, mask, ratio.
void expand_grad(ExpandContext& c) {
  Value* one = c.like(c.in(0), 1);
  Value* ratio = c.has(2) ? c.emit("CastLike", {c.in(2), c.in(0)}) : c.like(c.in(0), 0.5);
  Value* scaled = c.div(c.in(0), c.sub(one, ratio));
  c.replace(0, c.emit("Where", {c.in(1), scaled, c.like(c.in(0), 0)}));
}

// ---- dropout(data + bias) + residual: inputs data, bias, residual, ratio, training mode
template <bool bits>
void expand_bias(ExpandContext& c) {
  Value* sum = c.add(c.in(0), c.in(1));
  const bool masked = c.node.output(1) != nullptr;
  Node* dropout = c.emit_node(bits ? "BitmaskDropout" : "Dropout", {sum, c.in(3), c.in(4)}, c.node.attributes,
                              masked ? 2 : 1, bits ? "com.microsoft" : "");
  Value* y = dropout->output(0);
  c.replace(0, c.has(2) ? c.add(y, c.in(2)) : y);
  if (masked) c.replace(1, dropout->output(1));
}
template <bool bits>
void infer_bias(InferContext& c) {
  require_types(c, 0, floats);
  c.output(0, c.input(0));
  if (bits) return c.output(1, bitmask_type(c.input(0)));
  Type mask = c.input(0);
  mask.dtype = DType::boolean;
  c.output(1, std::move(mask));
}

constexpr std::string_view ms = "com.microsoft";

}  // namespace

OUTPOST_DEFINE_OP(
    Dropout, .name = "Dropout", .since = 22, .max_inputs = 3, .max_outputs = 2,
    .doc = "the input, or in training a random part of it scaled up", .infer = infer_dropout, .run = run_dropout,
    .upgrade = upgrade_dropout, .gradient = gradient_dropout, .prepare = prepare, .in_place = {{0, 0}},
    .random = true,
    .cases =
        "| f32[2,3,4]\n| f32[5] f32[]={0.3} bool[]={false} | 2\nseed=7 | f64[2,9] f64[]={0.4} bool[]={true} | 2\n"
        "| f32[0]");
OUTPOST_DEFINE_OP(ms_BitmaskDropout, .name = "BitmaskDropout", .domain = ms, .max_inputs = 3, .max_outputs = 2,
                  .doc = "Dropout with a mask of bits", .infer = infer_bitmask, .run = run_bitmask, .prepare = prepare,
                  .scratch = scratch_bitmask, .random = true,
                  .cases = "| f32[2,3,4]\nseed=7 | f64[5,9] f64[]={0.4} bool[]={true} | 2\n| f32[0] | 2");
OUTPOST_DEFINE_OP(
    ms_BiasDropout, .name = "BiasDropout", .domain = ms, .min_inputs = 2, .max_inputs = 5, .max_outputs = 2,
    .doc = "Dropout of data + bias, plus a residual", .infer = infer_bias<false>, .expand = expand_bias<false>,
    .cases = "| f32[2,3,4] f32[4]\n| f32[2,3] f32[3] f32[2,3] f32[]={0.3} bool[]={false} | 2\n| f64[0,3] f64[3]");
OUTPOST_DEFINE_OP(ms_BitmaskBiasDropout, .name = "BitmaskBiasDropout", .domain = ms, .min_inputs = 2, .max_inputs = 5,
                  .max_outputs = 2, .doc = "BitmaskDropout of data + bias, plus a residual", .infer = infer_bias<true>,
                  .expand = expand_bias<true>,
                  .cases = "| f32[2,3,4] f32[4]\n| f32[2,3] f32[3] f32[2,3] f32[]={0.3} bool[]={false} | 2");
OUTPOST_DEFINE_OP(ms_DropoutGrad, .name = "DropoutGrad", .domain = ms, .min_inputs = 2, .max_inputs = 4,
                  .doc = "the gradient of Dropout, given its mask", .infer = infer_grad, .expand = expand_grad,
                  .cases = "| f32[2,3] bool[2,3] f32[]={0.3}\n| f64[5] bool[5]\n| f32[0] bool[0]");
OUTPOST_DEFINE_OP(ms_BitmaskDropoutGrad, .name = "BitmaskDropoutGrad", .domain = ms, .min_inputs = 2, .max_inputs = 4,
                  .doc = "the gradient of BitmaskDropout, given its mask", .infer = infer_grad, .run = run_bitmask_grad,
                  .in_place = {{0, 0}},
                  .cases = "| f32[5,9] u32[2](0,4000000) f32[]={0.3}\n| f64[5] u32[1](0,31)\n| f32[0] u32[0]");

}  // namespace outpost
