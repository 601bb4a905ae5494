// See layout_nodes.h. Everything asked of a node is for certain: rank 4, f32, known channels. Batch and spatial dims may
// be unknown.
#include "passes/layout_nodes.h"

#include <algorithm>
#include <array>

#include "passes/match.h"

namespace outpost::layout {
namespace {

using match::is;

// (batch, channels, height, width) of f32, channels known.
bool is_image(const Value* v) {
  return v && v->type.is_tensor() && v->type.dtype == DType::f32 && v->type.ranked && v->type.rank() == 4 &&
         v->type.dims[1].known() && v->type.dims[1].size > 0;
}

int64_t channels(const Value* v) { return v->type.dims[1].size; }

bool is_convolution(const Node& n) { return is(&n, "Conv") || (n.domain == "outpost" && n.op == "FusedConv"); }

// Groups of whole blocks or of one channel; outputs that fill half a block at least.
bool can_convolve(const Node& n, int64_t block) {
  const Value* w = n.input(1);
  if (!is_image(n.input(0)) || !is_image(n.output(0)) || !w->is_constant() || w->type.rank() != 4 || w->type.dtype != DType::f32) return false;
  if (n.input(3) && (!is_image(n.input(3)) || channels(n.input(3)) != channels(n.output(0)))) return false;
  const Shape& shape = w->stored().shape();
  const int64_t groups = n.attributes.integer("group", 1), out = shape[0], in = shape[1];
  if (out * 2 < block || w->stored().count() == 0 || shape[2] > 64 || shape[3] > 64) return false;
  const bool depthwise = in == 1 && out == groups, whole = in % block == 0 && out / groups % block == 0;
  return groups == 1 || depthwise || whole;
}

bool is_unary(const Node& n) {
  static constexpr std::array names = {"Relu", "LeakyRelu", "Clip", "Sigmoid", "Tanh", "HardSigmoid", "HardSwish", "Swish",
                                       "Mish", "Elu", "Selu", "Gelu", "Softplus", "Abs", "Neg"};
  if (!n.domain.empty() || std::find(names.begin(), names.end(), n.op) == names.end()) return false;
  for (size_t i = 1; i < n.inputs().size(); ++i)  // Clip's bounds
    if (n.inputs()[i] && !is_scalar(n.inputs()[i])) return false;
  return true;
}

bool is_binary(const Node& n) {
  static constexpr std::array names = {"Add", "Sub", "Mul", "Max", "Min", "Sum", "PRelu"};
  return n.domain.empty() && std::find(names.begin(), names.end(), n.op) != names.end();
}

// A scalar, or as many channels as the output; a constant may lack the batch axis.
bool can_operate(const Value* v, int64_t count) {
  if (is_scalar(v)) return true;
  if (is_image(v)) return channels(v) == count;
  return v->is_constant() && v->type.dtype == DType::f32 && v->type.rank() == 3 && v->stored().shape()[0] == count &&
         v->stored().count() == count;
}

// All but the last end at a block's border.
bool whole_blocks(const std::vector<Value*>& values, int64_t block) {
  for (size_t i = 0; i < values.size(); ++i)
    if (!is_image(values[i]) || (i + 1 < values.size() && channels(values[i]) % block)) return false;
  return true;
}

bool joins_channels(const Node& n) {
  const int64_t axis = n.attributes.integer("axis", 0);
  return axis == 1 || axis == -3;
}

bool can_resize(const Node& n) {
  const Attributes& a = n.attributes;
  if (!is(&n, "Resize") || a.has("axes") || !is_image(n.output(0))) return false;
  if (a.string("keep_aspect_ratio_policy", "stretch") != "stretch") return false;
  if (a.string("coordinate_transformation_mode", "half_pixel") == "tf_crop_and_resize") return false;
  if (channels(n.output(0)) != channels(n.input(0))) return false;
  const Value *scales = n.input(2), *sizes = n.input(3);
  if (scales && sizes) return false;
  const Value* wanted = scales ? scales : sizes;
  if (!wanted || !wanted->is_constant() || wanted->constant().count() != 4) return false;
  return sizes || (scales->type.dtype == DType::f32 && scales->constant().data<float>()[1] == 1);
}

bool is_global_mean(const Node& n) {
  if (is(&n, "GlobalAveragePool")) return true;
  if (!is(&n, "ReduceMean") || n.attributes.integer("keepdims", 1) != 1 || !n.input(1)) return false;
  auto axes = match::integers_of(n.input(1));
  if (!axes || axes->size() != 2) return false;
  for (int64_t& axis : *axes)
    if (axis < 0) axis += 4;
  std::sort(axes->begin(), axes->end());
  return (*axes)[0] == 2 && (*axes)[1] == 3;
}

bool one_output(const Node& n) { return n.outputs().size() == 1 && n.output(0); }

}  // namespace

bool is_scalar(const Value* v) {
  return v && v->is_constant() && v->stored().count() == 1 && v->type.rank() <= 4 && v->type.dtype == DType::f32;
}

bool reads_planar(const Node& n, int64_t block) {
  return n.attributes.integer("group", 1) == 1 && channels(n.input(0)) < block;
}

Kind kind_of(const Node& n, int64_t block, FunctionRef<bool(const Value*)> blocked) {
  if (is_convolution(n)) return can_convolve(n, block) ? Kind::convolution : Kind::none;
  if (!std::any_of(n.inputs().begin(), n.inputs().end(), [&](const Value* v) { return v && blocked(v); })) return Kind::none;
  if (is(&n, "Split")) {
    const bool fits = joins_channels(n) && blocked(n.input(0)) && whole_blocks(n.outputs(), block);
    return fits ? Kind::split : Kind::none;
  }
  if (!one_output(n) || !is_image(n.output(0))) return Kind::none;
  if (is(&n, "Concat")) {
    const bool all = std::all_of(n.inputs().begin(), n.inputs().end(), [&](const Value* v) { return blocked(v); });
    return all && joins_channels(n) && whole_blocks(n.inputs(), block) ? Kind::concat : Kind::none;
  }
  if (is_binary(n)) {
    const int64_t count = channels(n.output(0));
    const bool fits = n.inputs().size() == 2 && can_operate(n.input(0), count) && can_operate(n.input(1), count);
    return fits ? Kind::binary : Kind::none;
  }
  if (!blocked(n.input(0))) return Kind::none;
  if (is(&n, "MaxPool") || is(&n, "AveragePool")) return Kind::pool;
  if (is_global_mean(n)) return Kind::global_average;
  if (is_unary(n)) return Kind::unary;
  return can_resize(n) ? Kind::resize : Kind::none;
}

Value* with_batch_axis(Builder& b, Value* v) {
  if (!v->is_constant() || v->type.rank() != 3) return v;
  return b.emit("Unsqueeze", {v, b.integers({0})});
}

Rewritten blocked_form(const Node& n, Kind kind, int64_t block, Builder& b) {
  Rewritten r{n.op, n.domain, n.attributes, {}};
  const auto blocks = [&](const Value* v) { return (channels(v) + block - 1) / block; };
  switch (kind) {
    case Kind::convolution:
      r.op = "BlockedConv", r.domain = "outpost";
      r.attributes.set("block", block);
      break;
    case Kind::pool:
      r.op = "Blocked" + n.op, r.domain = "outpost";
      break;
    case Kind::global_average:
      r = {"BlockedGlobalAveragePool", "outpost", {}, {}};
      break;
    case Kind::concat: r.attributes.set("axis", int64_t{1}); break;
    case Kind::split: {
      std::vector<int64_t> sizes;
      for (const Value* v : n.outputs()) sizes.push_back(blocks(v));
      r.attributes = {{"axis", int64_t{1}}};
      r.replaced_inputs = {nullptr, b.integers(sizes)};
      break;
    }
    case Kind::resize: {
      r.replaced_inputs = {nullptr, nullptr, nullptr, nullptr};
      if (n.input(2)) {
        const float* s = n.input(2)->constant().data<float>();
        Tensor scales(DType::f32, {5});
        const float values[] = {s[0], 1, s[2], s[3], 1};
        std::copy(values, values + 5, scales.data<float>());
        r.replaced_inputs[2] = b.constant(scales);
      } else {
        const std::vector<int64_t> s = *match::integers_of(n.input(3));
        r.replaced_inputs[3] = b.integers({s[0], blocks(n.input(0)), s[2], s[3], block});
      }
      break;
    }
    default: break;
  }
  return r;
}

}  // namespace outpost::layout
