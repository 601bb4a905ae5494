// Resize (ONNX 19) and its ancestor Upsample: what the attributes and inputs ask of every axis. Output sizes from scales
// are floor(size * scale) in f32, as shape inference elsewhere has them.
#include <algorithm>
#include <cmath>
#include <limits>

#include "ops/op.h"
#include "ops/resize/resample.h"
#include "tensor/convert.h"

namespace outpost {
namespace {

using resize::Axis;
using resize::Coordinates;
using resize::Mode;
using resize::Sampling;

enum Input { x_input, roi_input, scales_input, sizes_input };
enum class Policy : uint8_t { stretch, not_larger, not_smaller };

struct Options {
  Sampling sampling;
  Policy policy = Policy::stretch;
  std::vector<int64_t> axes;  // as written; empty: all
};

Options options(const Node& node) {
  const Attributes& a = node.attributes;
  Options o;
  auto read = [&](const char* name, const char* fallback, auto& value) {
    const auto text = a.string(name, fallback);
    if (!resize::parse(text, value)) fail(ErrorCode::invalid_model, node.label(), ": ", name, " '", text, "' is not known");
  };
  read("mode", "nearest", o.sampling.mode);
  read("coordinate_transformation_mode", "half_pixel", o.sampling.coordinates);
  read("nearest_mode", "round_prefer_floor", o.sampling.rounding);
  o.sampling.antialias = a.integer("antialias", 0) != 0 && o.sampling.mode != Mode::nearest;
  o.sampling.exclude_outside = a.integer("exclude_outside", 0) != 0;
  o.sampling.cubic = a.real("cubic_coeff_a", -0.75f);
  o.sampling.extrapolation = a.real("extrapolation_value", 0);
  const auto policy = a.string("keep_aspect_ratio_policy", "stretch");
  if (policy == "not_larger") o.policy = Policy::not_larger;
  else if (policy == "not_smaller") o.policy = Policy::not_smaller;
  else if (policy != "stretch") fail(ErrorCode::invalid_model, node.label(), ": keep_aspect_ratio_policy '", policy, "' is not known");
  o.axes = a.integers("axes");
  return o;
}

// What the inputs ask for; only one of scales and sizes is given.
struct Request {
  std::span<const float> scales;
  std::span<const int64_t> sizes;
  std::span<const double> regions;  // starts, then ends; empty: all of the input
};

constexpr int64_t largest = std::numeric_limits<int32_t>::max();

// The axes of the result. fail(…) is called with what is wrong; known[i] says whether in[i] is (unknown: -1).
template <class Fail>
void plan_axes(const Options& o, std::span<const int64_t> in, const Request& r, Axis* out, Fail fail) {
  const int rank = static_cast<int>(in.size());
  const size_t given = o.axes.empty() ? in.size() : o.axes.size();
  if (!r.scales.empty() && r.scales.size() != given) fail("scales has ", r.scales.size(), " values; expected ", given);
  if (!r.sizes.empty() && r.sizes.size() != given) fail("sizes has ", r.sizes.size(), " values; expected ", given);
  if (!r.regions.empty() && r.regions.size() != 2 * given) fail("roi has ", r.regions.size(), " values; expected ", 2 * given);
  for (int i = 0; i < rank; ++i) out[i] = {in[static_cast<size_t>(i)], in[static_cast<size_t>(i)], 1, 0, 1};
  auto axis_of = [&](size_t i) {
    int64_t axis = o.axes.empty() ? static_cast<int64_t>(i) : o.axes[i];
    if (axis < -rank || axis >= rank) fail("axis ", axis, " is outside rank ", rank);
    return static_cast<int>(axis < 0 ? axis + rank : axis);
  };
  double common = o.policy == Policy::not_larger ? std::numeric_limits<double>::infinity() : 0;
  for (size_t i = 0; i < given; ++i) {
    Axis& a = out[axis_of(i)];
    if (!r.regions.empty() && o.sampling.coordinates == Coordinates::tf_crop_and_resize) a.begin = r.regions[i], a.end = r.regions[given + i];
    if (a.in < 0) continue;
    if (!r.scales.empty()) {
      a.scale = r.scales[i];
      if (!(a.scale > 0)) fail("scales[", i, "] is ", r.scales[i], "; expected a positive number");
      const double out_size = std::floor(static_cast<float>(a.in) * r.scales[i]);
      if (!(out_size <= static_cast<double>(largest))) fail("scales[", i, "] makes an axis of ", out_size);
      a.out = static_cast<int64_t>(out_size);
    } else {
      a.out = r.sizes[i];
      if (a.out < 0 || a.out > largest) fail("sizes[", i, "] is ", a.out, "; expected 0..", largest);
      a.scale = a.in > 0 ? static_cast<double>(a.out) / static_cast<double>(a.in) : 1;
    }
    common = o.policy == Policy::not_larger ? std::min(common, a.scale) : std::max(common, a.scale);
    if (a.in > largest) fail("axis of ", a.in, " is longer than ", largest);
  }
  if (o.policy == Policy::stretch || r.sizes.empty()) return;
  for (size_t i = 0; i < given; ++i) {
    Axis& a = out[axis_of(i)];
    const double size = std::floor(common * static_cast<double>(a.in) + 0.5);
    if (size > static_cast<double>(largest)) fail("keeping the aspect ratio makes an axis of ", size);
    a.scale = common;
    a.out = static_cast<int64_t>(size);
  }
}

bool filled(const InferContext& c, int i) {
  if (!c.has(i)) return false;
  return !(c.ranked(i) && c.rank(i) == 1 && c.dims(i)[0].known() && c.dims(i)[0].size == 0);
}

void infer_types(InferContext& c, const Options& o) {
  c.require_inputs(1, 4);
  if (o.sampling.mode != Mode::nearest)
    c.require_dtype(x_input, {DType::f32, DType::f64, DType::f16, DType::bf16, DType::u8, DType::i8, DType::u16, DType::i16, DType::u32, DType::i32, DType::u64, DType::i64});
  c.require_dtype(roi_input, {DType::f32, DType::f64, DType::f16, DType::bf16});
  c.require_dtype(scales_input, {DType::f32});
  c.require_dtype(sizes_input, {DType::i64});
  c.require(filled(c, scales_input) || filled(c, sizes_input), "neither scales nor sizes is given");
  for (int i : {roi_input, scales_input, sizes_input})
    c.require(!c.has(i) || !c.ranked(i) || c.rank(i) == 1, "input ", i, " has rank ", c.has(i) ? c.rank(i) : 0, "; expected 1");
  for (int64_t axis : o.axes)
    if (c.ranked(x_input)) c.axis(axis, c.rank(x_input));
}

void infer(InferContext& c) {
  const Options o = options(c.node());
  infer_types(c, o);
  if (!c.ranked(x_input)) return c.output(0, c.dtype(x_input));
  Dims dims = c.dims(x_input);
  const Tensor *scales = filled(c, scales_input) ? c.value(scales_input) : nullptr, *sizes = filled(c, sizes_input) ? c.value(sizes_input) : nullptr;
  Request r;
  if (scales) r.scales = scales->values<float>();
  else if (sizes) r.sizes = sizes->values<int64_t>();
  const size_t given = o.axes.empty() ? dims.size() : o.axes.size();
  if (!scales && !sizes) {
    for (size_t i = 0; i < given; ++i) dims[o.axes.empty() ? i : static_cast<size_t>(c.axis(o.axes[i], c.rank(x_input)))] = {};
    return c.output(0, c.dtype(x_input), dims);
  }
  std::vector<int64_t> in;
  bool known = true;
  for (Dim d : dims) in.push_back(d.known() ? d.size : -1), known = known && d.known();
  std::vector<Axis> axes(dims.size());
  plan_axes(o, in, r, axes.data(), [&](const auto&... what) { c.fail(what...); });
  for (size_t i = 0; i < given; ++i) {
    const size_t axis = o.axes.empty() ? i : static_cast<size_t>(c.axis(o.axes[i], c.rank(x_input)));
    Dim& d = dims[axis];
    if (d.known()) d = o.policy == Policy::stretch || known || !sizes ? Dim(axes[axis].out) : Dim();
    else if (sizes && o.policy == Policy::stretch) d = sizes->values<int64_t>()[i];
    else if (!scales || scales->values<float>()[i] != 1) d = {};
  }
  c.output(0, c.dtype(x_input), dims);
}

std::shared_ptr<const void> prepare(const PrepareContext& c) { return std::make_shared<Options>(options(c.node)); }

void run(RunContext& c) {
  const auto& o = c.prepared<Options>();
  const View& x = c.in(x_input);
  Request r;
  double regions[2 * Shape::max_rank];
  auto given = [&](int i) { return c.has(i) && c.in(i).count() > 0; };
  if (given(scales_input)) r.scales = {c.in(scales_input).as<float>(), static_cast<size_t>(c.in(scales_input).count())};
  else if (given(sizes_input)) r.sizes = {c.in(sizes_input).as<int64_t>(), static_cast<size_t>(c.in(sizes_input).count())};
  else if (x.rank() > 0) c.fail("neither scales nor sizes is given");
  if (given(roi_input)) {
    const View& roi = c.in(roi_input);
    c.require(roi.count() <= 2 * Shape::max_rank, "roi has ", roi.count(), " values");
    load(roi.dtype, roi.data, 0, roi.count(), DType::f64, regions);
    r.regions = {regions, static_cast<size_t>(roi.count())};
  }
  Axis axes[Shape::max_rank];
  plan_axes(o, x.shape(), r, axes, [&](const auto&... what) { c.fail(what...); });
  if (!c.out(0).defined()) {
    Shape shape;
    for (int i = 0; i < x.rank(); ++i) shape.push_back(axes[i].out);
    c.allocate(0, shape);
  }
  if (c.out(0).count() == 0) return;
  c.require(x.count() > 0, "the input is empty, the output ", to_string(c.out(0).shape()), " is not");
  if (o.sampling.mode == Mode::nearest) resize::run_nearest(c, o.sampling, axes);
  else resize::run_filter(c, o.sampling, axes);
}

// How opset 10 rounds: one of today's names where the scales are known and agree, else one that only this engine has.
const char* old_rounding(const Value& scales) {
  if (!scales.is_constant() || scales.constant().dtype() != DType::f32) return "by_scale";
  bool up = false, down = false;
  for (float s : scales.constant().values<float>()) up = up || s > 1, down = down || s < 1;
  return up && down ? "by_scale" : down ? "ceil" : "floor";
}

// Opset 10: scales as the second input.
void upgrade(UpgradeContext& c) {
  if (c.from >= 11 || !c.has(1)) return;
  c.node.attributes.set("nearest_mode", std::string(old_rounding(*c.in(1))));
  c.node.attributes.set("coordinate_transformation_mode", std::string("asymmetric"));
  c.node.set_inputs({c.in(0), nullptr, c.in(1)});
}

// Upsample: opset 1 has a scale for height and one for width, 7 a list, 9 an input.
void upgrade_upsample(UpgradeContext& c) {
  if (c.from >= 9) return;
  const Attributes& a = c.attributes();
  std::vector<float> scales = a.reals("scales");
  if (scales.empty()) scales = {1, 1, a.real("height_scale", 1), a.real("width_scale", 1)};
  const auto count = static_cast<int64_t>(scales.size());
  c.node.set_input(1, c.constant(Tensor::of(scales, Shape{count})));
  for (const char* name : {"scales", "height_scale", "width_scale"}) c.node.attributes.erase(name);
}

void infer_upsample(InferContext& c) {
  c.require_inputs(2, 2);
  c.require_dtype(1, {DType::f32});
  if (c.ranked(0)) c.output(0, c.dtype(0), Dims(c.dims(0).size()));
  else c.output(0, c.dtype(0));
}

void expand_upsample(ExpandContext& c) {
  const auto mode = c.attributes().string("mode", "nearest");
  c.replace(0, c.emit("Resize", {c.in(0), nullptr, c.in(1)},
                      {{"mode", std::string(mode)}, {"coordinate_transformation_mode", std::string("asymmetric")}, {"nearest_mode", std::string("floor")}}));
}

}  // namespace

OUTPOST_DEFINE_OP(Resize, .name = "Resize", .since = 19, .first = 10, .min_inputs = 1, .max_inputs = 4,
                  .doc = "resampling to another size: nearest, linear, cubic, with antialiasing", .infer = infer, .run = run,
                  .upgrade = upgrade, .prepare = prepare,
                  .cases = R"(mode="linear" | f32[1,2,3,4] - f32[4]={1,1,2,1.5}
mode="cubic" antialias=1 axes=[-2,-1] | f32[2,8,9] - - i64[2]={3,5}
mode="nearest" nearest_mode="ceil" coordinate_transformation_mode="align_corners" | f32[1,1,3,4] - - i64[4]={1,1,5,7}
mode="linear" coordinate_transformation_mode="tf_crop_and_resize" extrapolation_value=3.0 axes=[2,3] | f32[1,1,4,4] f32[4]={0.4,0.6,1.2,1.7} - i64[2]={3,3}
mode="linear" | f32[3,4,5] - f32[3]={2,0.5,1.5}
 | f32[2,0,3] - f32[3]={1,2,2})");

OUTPOST_DEFINE_OP(Upsample, .name = "Upsample", .since = 9, .first = 1, .min_inputs = 1, .max_inputs = 2,
                  .doc = "Resize of old models", .infer = infer_upsample, .expand = expand_upsample, .upgrade = upgrade_upsample);

}  // namespace outpost
