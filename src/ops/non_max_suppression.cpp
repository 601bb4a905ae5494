// NonMaxSuppression: for every batch entry and class, boxes by falling score, leaving out those that overlap a chosen one
// by more than iou_threshold. https://onnx.ai/onnx/operators/onnx__NonMaxSuppression.html
//
// Ties keep the lower box index. NaN scores are never chosen. Classes go to threads; results are laid out in order.
#include <algorithm>
#include <cmath>

#include "ops/dynamic.h"
#include "ops/op.h"

namespace outpost {
namespace {

void infer(InferContext& c) {
  c.require_dtype(0, {DType::f32});
  c.require_dtype(1, {DType::f32});
  c.require_dtype(2, {DType::i64});
  c.require_dtype(3, {DType::f32});
  c.require_dtype(4, {DType::f32});
  auto same = [](Dim a, Dim b) { return !a.known() || !b.known() || a == b; };
  if (c.ranked(0)) c.require(c.rank(0) == 3 && same(c.dims(0)[2], 4), "boxes are ", to_string(c.input(0)), "; expected [batch,boxes,4]");
  if (c.ranked(1)) c.require(c.rank(1) == 3, "scores are ", to_string(c.input(1)), "; expected [batch,classes,boxes]");
  if (c.ranked(0) && c.ranked(1))
    c.require(same(c.dims(0)[0], c.dims(1)[0]) && same(c.dims(0)[1], c.dims(1)[2]), "boxes ", to_string(c.input(0)), " and scores ", to_string(c.input(1)), " do not fit");
  c.output(0, DType::i64, {Dim(), Dim(3)});
}

struct Box {
  float y1, x1, y2, x2, area;
};

Box box_at(const float* p, bool centered) {
  const float y1 = centered ? p[1] - p[3] / 2 : std::min(p[0], p[2]), x1 = centered ? p[0] - p[2] / 2 : std::min(p[1], p[3]);
  const float y2 = centered ? p[1] + p[3] / 2 : std::max(p[0], p[2]), x2 = centered ? p[0] + p[2] / 2 : std::max(p[1], p[3]);
  return {y1, x1, y2, x2, (y2 - y1) * (x2 - x1)};
}

bool overlap(const Box& a, const Box& b, float threshold) {
  const float height = std::min(a.y2, b.y2) - std::max(a.y1, b.y1), width = std::min(a.x2, b.x2) - std::max(a.x1, b.x1);
  if (!(height > 0) || !(width > 0)) return false;
  const float common = height * width, all = a.area + b.area - common;
  return all > 0 && common / all > threshold;
}

float scalar(RunContext& ctx, int i, float fallback) {
  if (!ctx.has(i)) return fallback;
  ctx.require(ctx.in(i).count() == 1, "input ", i, " has ", ctx.in(i).count(), " elements; expected one");
  return *ctx.in(i).as<float>();
}

struct Limits {
  int64_t most;
  float iou, score;
  bool has_score, centered;
};

// Box numbers chosen for one class, into `order`; returns how many. `chosen` holds their boxes.
int64_t suppress(const float* boxes, const float* scores, int64_t count, const Limits& l, int64_t* order, Box* chosen) {
  int64_t candidates = 0;
  for (int64_t i = 0; i < count; ++i)
    if (scores[i] == scores[i] && (!l.has_score || scores[i] > l.score)) order[candidates++] = i;
  auto before = [&](int64_t a, int64_t b) { return scores[a] > scores[b] || (scores[a] == scores[b] && a < b); };
  std::sort(order, order + candidates, before);
  int64_t kept = 0;
  for (int64_t i = 0; i < candidates && kept < l.most; ++i) {
    const Box box = box_at(boxes + order[i] * 4, l.centered);
    bool free = true;
    for (int64_t k = 0; k < kept && free; ++k) free = !overlap(box, chosen[k], l.iou);
    if (!free) continue;
    chosen[kept] = box;
    order[kept++] = order[i];
  }
  return kept;
}

void run(RunContext& ctx) {
  const View &boxes = ctx.in(0), &scores = ctx.in(1);
  const int64_t count = boxes.dim(1), classes = scores.dim(1), tasks = boxes.dim(0) * classes;
  Limits l{0, scalar(ctx, 3, 0), scalar(ctx, 4, 0), ctx.has(4), ctx.attributes().integer("center_point_box", 0) != 0};
  if (ctx.has(2)) {
    ctx.require(ctx.in(2).count() == 1, "max_output_boxes_per_class has ", ctx.in(2).count(), " elements; expected one");
    l.most = std::clamp<int64_t>(*ctx.in(2).as<int64_t>(), 0, count);
  }
  ctx.require(l.iou >= 0 && l.iou <= 1, "iou_threshold is ", l.iou, "; expected 0..1");
  if (l.most == 0 || tasks == 0) {
    produce(ctx, 0, {0, 3});
    return;
  }
  checked_count(std::initializer_list<int64_t>{tasks, count, 64});
  auto* order = static_cast<int64_t*>(ctx.temporary(static_cast<size_t>(tasks * count) * sizeof(int64_t)));
  auto* kept = static_cast<int64_t*>(ctx.temporary(static_cast<size_t>(tasks) * sizeof(int64_t)));
  auto* chosen = static_cast<Box*>(ctx.temporary(static_cast<size_t>(l.most * ctx.threads()) * sizeof(Box)));
  ctx.parallel(tasks, [&](int64_t i) {
    kept[i] = suppress(boxes.as<float>() + i / classes * count * 4, scores.as<float>() + i * count, count, l, order + i * count,
                       chosen + l.most * RunContext::worker());
  });
  int64_t total = 0;
  for (int64_t i = 0; i < tasks; ++i) total += kept[i];
  int64_t* y = produce(ctx, 0, {total, 3}).as<int64_t>();
  for (int64_t i = 0; i < tasks; ++i)
    for (int64_t k = 0; k < kept[i]; ++k, y += 3) {
      y[0] = i / classes;
      y[1] = i % classes;
      y[2] = order[i * count + k];
    }
}

}  // namespace

OUTPOST_DEFINE_OP(NonMaxSuppression, .name = "NonMaxSuppression", .since = 11, .first = 10, .min_inputs = 2, .max_inputs = 5,
                  .doc = "Boxes by score without overlaps.", .infer = infer, .run = run, .no_gradient = "integer output",
                  .cases = R"(
                    | f32[2,6,4](0,1) f32[2,3,6](0,1) i64[]={3} f32[]={0.5} f32[]={0.1}
                    center_point_box=1 | f32[1,5,4](0.1,1) f32[1,1,5] i64[1]={5} f32[1]={0.3}
                    | f32[1,0,4] f32[1,2,0] i64[]={3})");

}  // namespace outpost
