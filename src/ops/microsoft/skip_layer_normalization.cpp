// SkipLayerNormalization and SkipSimplifiedLayerNormalization: (input + skip + bias) normalised by rows, the sum also
// an output. One pass over memory: a row is summed and normalised while in cache.
// Source: onnxruntime ContribOperators.md.
#include "ops/rows.h"

namespace outpost {
namespace {

// Layer: input, skip, gamma, beta, bias.  Simplified: input, skip, gamma, bias.
template <bool Centred>
constexpr int bias_input = Centred ? 4 : 3;

template <bool Centred>
void infer(InferContext& c) {
  c.require_dtype(0, {DType::f32, DType::f64, DType::f16, DType::bf16});
  for (int i = 1; i <= bias_input<Centred>; ++i) c.require_same_dtype(0, i);
  c.output(0, c.input(0));
  if (c.wants(3)) c.output(3, c.input(0));
  if (!c.ranked(0)) return;
  const Dims& x = c.dims(0);
  c.require(x.size() >= 2, "input must be (batch, sequence, hidden) or (rows, hidden); found ", c.input(0));
  for (int i = 2; i <= bias_input<Centred>; ++i) {
    if (!c.has(i) || !c.ranked(i)) continue;
    const Dim n = c.rank(i) == 1 ? c.dims(i)[0] : Dim();
    c.require(c.rank(i) == 1 && (!n.known() || !x.back().known() || n.size == x.back().size), "input ", i, " ",
              c.input(i), " must have one value for each of the last axis of ", c.input(0));
  }
  if (c.ranked(1)) {  // skip may repeat over leading axes
    const Dims& s = c.dims(1);
    bool fits = s.size() <= x.size() && s.size() >= 1;
    for (size_t i = 0; fits && i < s.size(); ++i) {
      const Dim p = s[s.size() - 1 - i], q = x[x.size() - 1 - i];
      const bool leading = i + 1 == x.size() && p.known() && p.size == 1;
      fits = !p.known() || !q.known() || p.size == q.size || leading;
    }
    c.require(fits, "skip ", c.input(1), " does not fit input ", c.input(0));
  }
  for (int i : {1, 2}) {
    if (!c.wants(i)) continue;
    Dims out = x;
    out.back() = Dim(1);
    c.output(i, DType::f32, std::move(out));
  }
}

struct Prepared {
  float epsilon;
};
std::shared_ptr<const void> prepare(const PrepareContext& c) {
  return std::make_shared<Prepared>(Prepared{c.attributes().real("epsilon", 1e-12f)});
}

// Scratch: gamma, beta, bias in the compute type | for each thread staged rows of three operands.
struct Layout {
  size_t parameter, stage;
  int64_t columns, rows;
  explicit Layout(const View& x) {
    columns = x.dim(x.rank() - 1);
    rows = columns > 0 ? x.count() / columns : 0;
    const size_t element = x.dtype == DType::f64 ? 8 : 4;
    parameter = slice_bytes(static_cast<size_t>(columns) * element);
    stage = slice_bytes(static_cast<size_t>(staged_rows(columns) * columns) * element);
  }
  size_t total(int threads) const { return 3 * parameter + 3 * stage * static_cast<size_t>(threads); }
};

size_t scratch(const ScratchContext& c) { return Layout(c.in(0)).total(c.threads); }

void add(const float* x, const float* y, float* z, int64_t n) {
  kernels::kernels().binary[int(kernels::Binary::add)](x, 1, y, 1, z, n);
}
void add(const double* x, const double* y, double* z, int64_t n) {
  for (int64_t i = 0; i < n; ++i) z[i] = x[i] + y[i];
}

struct Parameters {
  float epsilon;
  bool centred;
  int64_t columns;
};

void normalise(const Parameters& p, const float* x, const float* gamma, const float* beta, float* y, float* mean,
               float* inverse, int64_t rows) {
  const kernels::Kernels& k = kernels::kernels();
  if (p.centred) k.layer_norm_rows(x, gamma, beta, p.epsilon, y, mean, inverse, rows, p.columns);
  else k.rms_norm_rows(x, gamma, p.epsilon, y, inverse, rows, p.columns);
}
void normalise(const Parameters& p, const double* x, const double* gamma, const double* beta, double* y, float* mean,
               float* inverse, int64_t rows) {
  for (int64_t i = 0; i < rows; ++i, x += p.columns, y += p.columns) {
    double m = 0, square = 0;
    for (int64_t j = 0; p.centred && j < p.columns; ++j) m += x[j];
    m /= static_cast<double>(p.columns);
    for (int64_t j = 0; j < p.columns; ++j) square += (x[j] - m) * (x[j] - m);
    const double r = 1 / std::sqrt(square / static_cast<double>(p.columns) + static_cast<double>(p.epsilon));
    for (int64_t j = 0; j < p.columns; ++j) y[j] = (x[j] - m) * r * gamma[j] + (beta ? beta[j] : 0);
    if (mean) mean[i] = static_cast<float>(m);
    if (inverse) inverse[i] = static_cast<float>(r);
  }
}

template <class T, bool Centred>
void run_as(RunContext& c) {
  const View &x = c.in(0), &skip = c.in(1), &y = c.out(0);
  const Layout l(x);
  const Parameters p{c.prepared<Prepared>().epsilon, Centred, l.columns};
  const int64_t skip_rows = skip.count() / l.columns;
  char* memory = c.scratch<char>();
  auto parameter = [&](int input, int slot) -> const T* {
    if (!c.has(input)) return nullptr;
    return read<T>(c.in(input), 0, l.columns, reinterpret_cast<T*>(memory + static_cast<size_t>(slot) * l.parameter));
  };
  const T *gamma = parameter(2, 0), *beta = Centred ? parameter(3, 1) : nullptr;
  const T* bias = parameter(bias_input<Centred>, 2);
  float* mean = c.wants(1) ? c.out(1).as<float>() : nullptr;
  float* inverse = c.wants(2) ? c.out(2).as<float>() : nullptr;
  char* stages = memory + 3 * l.parameter;
  const int64_t n = l.columns;
  c.parallel_ranges(l.rows, row_grain(n), [&](int64_t begin, int64_t end) {
    char* mine = stages + 3 * l.stage * static_cast<size_t>(RunContext::worker());
    T *buffer = reinterpret_cast<T*>(mine), *other = reinterpret_cast<T*>(mine + l.stage);
    T* sums = reinterpret_cast<T*>(mine + 2 * l.stage);
    for (int64_t row = begin; row < end; ++row) {
      const T* from = read<T>(x, row * n, n, buffer);
      T* sum = c.wants(3) ? target<T>(c.out(3), row * n, sums) : sums;
      add(from, read<T>(skip, row % skip_rows * n, n, other), sum, n);
      if (bias) add(sum, bias, sum, n);
      if (c.wants(3)) write<T>(c.out(3), row * n, n, sum);
      T* to = target<T>(y, row * n, buffer);
      normalise(p, sum, gamma, beta, to, mean ? mean + row : nullptr, inverse ? inverse + row : nullptr, 1);
      write<T>(y, row * n, n, to);
    }
  });
}

template <bool Centred>
void run(RunContext& c) {
  if (c.in(0).count() == 0) return;
  c.require(c.in(1).count() > 0 && c.in(0).count() % c.in(1).count() == 0, "skip ", c.in(1).shape(),
            " does not fit input ", c.in(0).shape());
  if (c.in(0).dtype == DType::f64) run_as<double, Centred>(c);
  else run_as<float, Centred>(c);
}

template <bool Centred>
void expand(ExpandContext& c) {
  Value* sum = c.add(c.in(0), c.in(1));
  if (c.has(bias_input<Centred>)) sum = c.add(sum, c.in(bias_input<Centred>));
  const float epsilon = c.attributes().real("epsilon", 1e-12f);
  const Attributes a{{"axis", int64_t{-1}}, {"epsilon", epsilon}};
  if (c.wants(3)) c.replace(3, sum);
  if (!Centred) {
    Node* norm = c.emit_node("SimplifiedLayerNormalization", {sum, c.in(2)}, a, c.wants(2) ? 2 : 1);
    c.replace(0, norm->output(0));
    if (c.wants(2)) c.replace(2, norm->output(1));
    return;
  }
  Node* norm = c.emit_node("LayerNormalization", {sum, c.in(2), c.in(3)}, a, c.wants(1) || c.wants(2) ? 3 : 1);
  c.replace(0, norm->output(0));
  for (int i : {1, 2})
    if (c.wants(i)) c.replace(i, norm->output(i));
}

Cost cost(const CostContext& c) { return {10 * c.count(*c.in(0)), 3 * c.count(*c.in(0)) * bits(c.in(0)->dtype) / 8}; }

}  // namespace

OUTPOST_DEFINE_OP(ms_SkipLayerNormalization, .name = "SkipLayerNormalization", .domain = "com.microsoft",
                  .min_inputs = 3, .max_inputs = 5, .max_outputs = 4, .doc = "LayerNormalization of a sum",
                  .infer = infer<true>, .run = run<true>, .expand = expand<true>, .cost = cost, .prepare = prepare,
                  .scratch = scratch, .in_place = {{0, 0}, {1, 0}}, .cases = R"(
  epsilon=0.001 | f32[2,3,8] f32[2,3,8] f32[8] f32[8] f32[8]
  epsilon=0.001 | f32[4,8] f32[4,8] f32[8]
  epsilon=0.001 | f32[2,3,8] f32[3,8] f32[8] f32[8] | 4
)");
OUTPOST_DEFINE_OP(ms_SkipSimplifiedLayerNormalization, .name = "SkipSimplifiedLayerNormalization",
                  .domain = "com.microsoft", .min_inputs = 3, .max_inputs = 4, .max_outputs = 4,
                  .doc = "RMSNormalization of a sum", .infer = infer<false>, .run = run<false>,
                  .expand = expand<false>, .cost = cost, .prepare = prepare, .scratch = scratch,
                  .in_place = {{0, 0}}, .cases = R"(
  epsilon=0.001 | f32[2,3,8] f32[2,3,8] f32[8] f32[8]
  epsilon=0.001 | f32[4,8] f32[4,8] f32[8]
)");

}  // namespace outpost
