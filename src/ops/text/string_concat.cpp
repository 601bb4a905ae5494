// StringConcat, StringSplit: strings joined pairwise with broadcasting; strings cut at a delimiter, padded to a rectangle.
#include <algorithm>

#include "ops/dynamic.h"
#include "ops/movement.h"
#include "ops/op.h"

namespace outpost {
namespace {

void infer_concat(InferContext& c) {
  c.require_dtype(0, {DType::string});
  c.require_dtype(1, {DType::string});
  infer_broadcast(c);
}

// Strides of x under the broadcast shape.
Shape broadcast_strides(const Shape& x, const Shape& to) {
  const Shape own = strides_of(x);
  Shape strides;
  strides.resize(to.rank(), 0);
  for (int a = 0, shift = to.rank() - x.rank(); a < x.rank(); ++a) strides[a + shift] = x[a] == 1 ? 0 : own[a];
  return strides;
}

void run_concat(RunContext& ctx) {
  allocate_inferred(ctx);
  const View &a = ctx.in(0), &b = ctx.in(1), &y = ctx.out(0);
  const Shape a_strides = broadcast_strides(a.shape(), y.shape()), b_strides = broadcast_strides(b.shape(), y.shape());
  ctx.parallel_ranges(y.count(), 2048, [&](int64_t begin, int64_t end) {
    Odometer i(y.shape(), a_strides, begin), j(y.shape(), b_strides, begin);
    for (int64_t k = begin; k < end; ++k, i.next(), j.next()) y.as<std::string>()[k] = a.as<std::string>()[i.offset()] + b.as<std::string>()[j.offset()];
  });
}

void infer_split(InferContext& c) {
  c.require_dtype(0, {DType::string});
  if (!c.ranked(0)) {
    c.output(0, DType::string);
    return c.output(1, DType::i64);
  }
  Dims dims = c.dims(0);
  c.output(1, DType::i64, dims);
  dims.push_back(Dim());
  c.output(0, DType::string, std::move(dims));
}

bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

// Calls part(piece) for each piece of s, at most `most` splits from the left. An empty delimiter splits at runs of
// white space and ignores it at both ends.
template <class Part>
void split(std::string_view s, std::string_view delimiter, int64_t most, Part&& part) {
  if (!delimiter.empty()) {
    for (size_t at; most > 0 && (at = s.find(delimiter)) != s.npos; --most) {
      part(s.substr(0, at));
      s.remove_prefix(at + delimiter.size());
    }
    part(s);
    return;
  }
  auto skip = [&] {
    while (!s.empty() && is_space(s.front())) s.remove_prefix(1);
  };
  for (skip(); most > 0 && !s.empty(); --most, skip()) {
    size_t at = 0;
    while (at < s.size() && !is_space(s[at])) ++at;
    part(s.substr(0, at));
    s.remove_prefix(at);
  }
  while (!s.empty() && is_space(s.back())) s.remove_suffix(1);
  if (!s.empty()) part(s);
}

void run_split(RunContext& ctx) {
  const View& x = ctx.in(0);
  const std::string_view delimiter = ctx.attributes().string("delimiter", "");
  const int64_t most = ctx.attributes().has("maxsplit") ? ctx.attributes().integer("maxsplit", 0) : INT64_MAX;
  const int64_t count = x.count();
  auto pieces_of = [&](int64_t i, auto&& part) { split(x.as<std::string>()[i], delimiter, most < 0 ? INT64_MAX : most, part); };
  int64_t width = 0;
  for (int64_t i = 0; i < count; ++i) {
    int64_t pieces = 0;
    pieces_of(i, [&](std::string_view) { ++pieces; });
    width = std::max(width, pieces);
  }
  Shape shape = x.shape();
  if (ctx.wants(1)) {
    int64_t* counts = produce(ctx, 1, shape).as<int64_t>();
    for (int64_t i = 0; i < count; ++i) {
      counts[i] = 0;
      pieces_of(i, [&](std::string_view) { ++counts[i]; });
    }
  }
  if (!ctx.wants(0)) return;
  shape.push_back(width);
  auto* y = produce(ctx, 0, shape).as<std::string>();
  for (int64_t i = 0; i < count; ++i) {
    std::string* out = y + i * width;
    pieces_of(i, [&](std::string_view piece) { *out++ = piece; });
  }
}

}  // namespace

OUTPOST_DEFINE_OP(StringConcat, .name = "StringConcat", .since = 20, .first = 20, .min_inputs = 2, .max_inputs = 2,
                  .doc = "Joins strings pairwise.", .infer = infer_concat, .run = run_concat, .no_gradient = "strings");
OUTPOST_DEFINE_OP(StringSplit, .name = "StringSplit", .since = 20, .first = 20, .min_inputs = 1, .max_inputs = 1, .min_outputs = 1,
                  .max_outputs = 2, .doc = "Cuts strings at a delimiter.", .infer = infer_split, .run = run_split, .no_gradient = "strings");

}  // namespace outpost
