// Where: element by element from one of two tensors. Values are moved, not computed with: by element size.
#include <algorithm>
#include <utility>

#include "ops/elementwise.h"

namespace outpost {

namespace {

struct Wide {
  uint64_t words[2];
};

template <class W>
void choose(const uint8_t* condition, int64_t step, const W* x, int64_t x_step, const W* y, int64_t y_step, W* out,
            int64_t n) {
  if (step == 0) {
    const W* from = *condition ? x : y;
    const int64_t from_step = *condition ? x_step : y_step;
    for (int64_t i = 0; i < n; ++i) out[i] = from[i * from_step];
  } else if (x_step && y_step) {
    for (int64_t i = 0; i < n; ++i) {
      const W there = x[i], elsewhere = y[i];
      out[i] = condition[i] ? there : elsewhere;
    }
  } else if (x_step) {
    for (int64_t i = 0; i < n; ++i) {
      const W there = x[i];
      out[i] = condition[i] ? there : *y;
    }
  } else {
    for (int64_t i = 0; i < n; ++i) {
      const W elsewhere = y[i * y_step];
      out[i] = condition[i] ? *x : elsewhere;
    }
  }
}

// Elements [first, first + n) of operand k: where they lie, gathered if need be, and their step.
template <class W>
std::pair<const W*, int64_t> tile(const Broadcast& shape, int k, const View& v, int64_t first, int64_t n, W* buffer) {
  if (shape.scalar[k]) return {v.as<W>(), 0};
  if (shape.contiguous[k]) return {v.as<W>() + first, 1};
  shape.gather(k, v.data, sizeof(W), first, n, buffer);
  return {buffer, 1};
}

template <class W>
void run_words(RunContext& c) {
  View& out = c.out(0);
  const Broadcast shape = make_broadcast(out.shape(), {&c.in(0).shape(), &c.in(1).shape(), &c.in(2).shape()});
  const bool plain = (shape.contiguous[0] || shape.scalar[0]) && (shape.contiguous[1] || shape.scalar[1]) &&
                     (shape.contiguous[2] || shape.scalar[2]);
  c.parallel_ranges(shape.count, elementwise_grain, [&](int64_t begin, int64_t end) {
    uint8_t condition[elementwise_tile];
    W x[elementwise_tile], y[elementwise_tile];
    for (int64_t i = begin; i < end;) {
      const int64_t n = plain ? end - i : std::min(elementwise_tile, end - i);
      const auto [p, p_step] = tile(shape, 0, c.in(0), i, n, condition);
      const auto [q, q_step] = tile(shape, 1, c.in(1), i, n, x);
      const auto [r, r_step] = tile(shape, 2, c.in(2), i, n, y);
      choose(p, p_step, q, q_step, r, r_step, out.as<W>() + i, n);
      i += n;
    }
  });
}

void run_strings(RunContext& c) {
  View& out = c.out(0);
  const Broadcast shape = make_broadcast(out.shape(), {&c.in(0).shape(), &c.in(1).shape(), &c.in(2).shape()});
  for (int64_t i = 0; i < shape.count; ++i) {
    const int k = c.in(0).as<uint8_t>()[shape.offset(0, i)] ? 1 : 2;
    out.as<std::string>()[i] = c.in(k).as<std::string>()[shape.offset(k, i)];
  }
}

void run(RunContext& c) {
  if (c.out(0).dtype == DType::string) return run_strings(c);
  switch (bits(c.out(0).dtype)) {
    case 8: return run_words<uint8_t>(c);
    case 16: return run_words<uint16_t>(c);
    case 32: return run_words<uint32_t>(c);
    case 64: return run_words<uint64_t>(c);
    case 128: return run_words<Wide>(c);
    default: c.fail("not defined for ", c.out(0).dtype);
  }
}

void infer(InferContext& c) {
  require_types(c, 0, booleans);
  c.require_same_dtype(1, 2);
  const DType dtype = c.dtype(1) == DType::undefined ? c.dtype(2) : c.dtype(1);
  c.require(dtype == DType::undefined || bits(dtype) >= 8, "not defined for ", dtype);
  if (c.ranked(0) && c.ranked(1) && c.ranked(2))
    c.output(0, dtype, broadcast(c, broadcast(c, c.dims(1), c.dims(2)), c.dims(0)));
  else c.output(0, dtype);
}

void gradient(GradientContext& c) {
  Value* zero = c.like(c.grad(), 0);
  if (c.wants(1)) c.set(1, c.sum_to(c.emit("Where", {c.in(0), c.grad(), zero}), c.in(1)));
  if (c.wants(2)) c.set(2, c.sum_to(c.emit("Where", {c.in(0), zero, c.grad()}), c.in(2)));
}

}  // namespace

OUTPOST_DEFINE_OP(
    Where, .name = "Where", .since = 16, .first = 9, .min_inputs = 3, .max_inputs = 3,
    .doc = "x where the condition holds, else y", .infer = infer, .run = run, .gradient = gradient,
    .in_place = {{1, 0}, {2, 0}},
    .cases =
        "| bool[2,3,4] f32[2,3,4] f32[2,3,4]\n| bool[3,1] f64[2,1,4] f64[]\n| bool[] f32[3] f32[2,3]\n"
        "| bool[2,1,70] i64[2,5,70] i64[5,1]\n"
        "| bool[3] string[3]={\"a\",\"b\",\"c\"} string[]={\"z\"}\n| bool[0,3] f32[3] f32[1]\n| bool[4] u8[4] u8[]");

}  // namespace outpost
