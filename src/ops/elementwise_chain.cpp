// outpost.Elementwise: several elementwise steps in one walk over memory. The steps run one after the other on tiles that
// stay in the first-level cache, each by its own kernel, so the result is the steps' own, bit for bit in f32; f16 and bf16
// round once at the end. Inputs have the first one's shape, or one element. Made by passes/fuse_elementwise.cpp.
#include <algorithm>

#include "ops/elementwise.h"
#include "ops/elementwise_program.h"
#include "ops/staging.h"

namespace outpost {
namespace {

constexpr int64_t tile = 1024;  // elements; a few tiles of 4 KiB live at a time

struct Prepared {
  std::vector<ElementwiseStep> steps;
  std::vector<int> buffer;  // of each step: the tile buffer that its result goes to
  int buffers = 0;
};

bool single(const Type& t) {
  return t.ranked && std::all_of(t.dims.begin(), t.dims.end(), [](const Dim& d) { return d == Dim(1); });
}

void infer(InferContext& c) {
  c.require_dtype(0, {DType::f32, DType::f16, DType::bf16});
  elementwise_steps(c.node());
  for (int i = 1; i < c.inputs(); ++i) {
    c.require(c.has(i), "input ", i, " is missing");
    c.require_same_dtype(0, i);
    if (!c.ranked(0) || !c.ranked(i) || single(c.input(i))) continue;
    bool same = c.rank(i) == c.rank(0);
    for (int d = 0; same && d < c.rank(0); ++d) same = !c.dims(i)[d].known() || !c.dims(0)[d].known() || c.dims(i)[d].size == c.dims(0)[d].size;
    c.require(same, "input ", i, " is ", c.input(i), "; expected one element, or the shape of ", c.input(0));
  }
  c.output(0, c.input(0));
}

// A buffer is free again after the last step that reads it; a step may write where it reads.
std::shared_ptr<const void> prepare(const PrepareContext& c) {
  auto p = std::make_shared<Prepared>();
  p->steps = elementwise_steps(c.node);
  const int inputs = static_cast<int>(c.node.inputs().size()), count = static_cast<int>(p->steps.size());
  std::vector<int> last(static_cast<size_t>(count), -1), busy;  // busy: until which step each buffer is
  for (int k = 0; k < count; ++k)
    for (int operand : p->steps[static_cast<size_t>(k)].operands)
      if (operand >= inputs) last[static_cast<size_t>(operand - inputs)] = k;
  for (int k = 0; k < count; ++k) {
    auto free = std::find_if(busy.begin(), busy.end(), [&](int until) { return until <= k; });
    if (free == busy.end()) free = busy.insert(busy.end(), 0);
    *free = std::max(k, last[static_cast<size_t>(k)]);
    p->buffer.push_back(static_cast<int>(free - busy.begin()));
  }
  p->buffers = static_cast<int>(busy.size());
  return p;
}

size_t slice(const Prepared& p, int inputs, DType dtype) {
  const int staged = dtype == DType::f32 ? 0 : inputs;
  return static_cast<size_t>(p.buffers + staged) * tile * sizeof(float);
}

size_t scratch(const ScratchContext& c) {
  const Prepared& p = *static_cast<const Prepared*>(c.prepared);
  return slice_bytes(slice(p, static_cast<int>(c.inputs.size()), c.out(0).dtype)) * static_cast<size_t>(c.threads);
}

// One tile: where each operand lies and whether it advances (0: one element).
struct Operand {
  const float* at;
  int64_t step;
};

void run_tile(const Prepared& p, Operand* values, int inputs, float* buffers, float* y, int64_t n) {
  const kernels::Kernels& k = kernels::kernels();
  const int count = static_cast<int>(p.steps.size());
  for (int i = 0; i < count; ++i) {
    const ElementwiseStep& s = p.steps[static_cast<size_t>(i)];
    float* to = i + 1 == count ? y : buffers + p.buffer[static_cast<size_t>(i)] * tile;
    const Operand a = values[s.operands[0]];
    // a result of single elements only has one element, repeated where the last step writes it
    const bool repeats = a.step == 0 && (!s.binary || values[s.operands[1]].step == 0);
    const int64_t m = repeats ? 1 : n;
    if (s.binary) k.binary[s.kernel](a.at, a.step, values[s.operands[1]].at, values[s.operands[1]].step, to, m);
    else k.unary[s.kernel](a.at, to, m, s.a, s.b);
    if (repeats && i + 1 == count) std::fill(to + 1, to + n, to[0]);
    values[inputs + i] = {to, repeats ? 0 : 1};
  }
}

void run(RunContext& c) {
  const Prepared& p = c.prepared<Prepared>();
  const View& y = c.out(0);
  const int inputs = c.inputs();
  for (int i = 0; i < inputs; ++i)
    if (c.in(i).count() != 1 && !(c.in(i).shape() == y.shape())) c.fail("input ", i, " is ", c.in(i).shape(), "; expected ", y.shape(), " or one element");
  const size_t bytes = slice(p, inputs, y.dtype);
  const bool direct = y.dtype == DType::f32;
  c.parallel_ranges(y.count(), elementwise_grain, [&](int64_t begin, int64_t end) {
    float* buffers = worker_slice<float>(c, bytes);
    float* staged = buffers + p.buffers * tile;
    Operand values[most_elementwise_inputs + most_elementwise_steps];
    for (int64_t at = begin; at < end; at += tile) {
      const int64_t n = std::min(tile, end - at);
      for (int i = 0; i < inputs; ++i) {
        const View& x = c.in(i);
        const bool one = x.count() == 1 && y.count() != 1;
        values[i] = {direct ? x.as<const float>() + (one ? 0 : at) : staged + i * tile, one ? 0 : 1};
        if (!direct) widen(x.dtype, x.data, one ? 0 : at, one ? 1 : n, staged + i * tile);
      }
      float* to = direct ? y.as<float>() + at : buffers + p.buffer.back() * tile;
      run_tile(p, values, inputs, buffers, to, n);
      if (!direct) narrow(y.dtype, to, n, y.data, at);
    }
  });
}

void expand(ExpandContext& c) {
  std::vector<Value*> values = c.node.inputs();
  for (const ElementwiseStep& s : elementwise_steps(c.node)) values.push_back(expand_step(c, s, values));
  c.replace(0, values.back());
}

Cost cost(const CostContext& c) {
  double bytes = c.count(*c.out(0));
  for (const Type* t : c.inputs) bytes += t ? c.count(*t) : 0;
  return {c.count(*c.out(0)) * static_cast<double>(c.node.attributes.strings("steps").size()), bytes * bits(c.out(0)->dtype) / 8};
}

}  // namespace

OUTPOST_DEFINE_OP(outpost_Elementwise, .name = "Elementwise", .domain = "outpost", .min_inputs = 1, .max_inputs = most_elementwise_inputs,
                  .doc = "several elementwise steps in one walk over memory", .infer = infer, .run = run, .expand = expand, .cost = cost,
                  .prepare = prepare, .scratch = scratch, .in_place = {{0, 0}}, .cases = R"(
  steps=["Mul x0 x1","Sigmoid s0","Add s1 x0"] | f32[3,5] f32[]
  steps=["Relu x0"] | f32[2000]
  steps=["Neg x1","Exp s0","Add x0 s1","Mul s2 s0"] | f32[3,4] f32[3,4]
  steps=["Clip x0","HardSigmoid s0"] parameters=[-1.0,1.0,0.2,0.5] | f16[7,3]
  steps=["Tanh x1","Mul s0 s0","Add x0 s1"] | bf16[2,3] bf16[1]
  steps=["Sub x0 x1","Div s0 x2"] | f32[0,3] f32[0,3] f32[1]
)");

}  // namespace outpost
