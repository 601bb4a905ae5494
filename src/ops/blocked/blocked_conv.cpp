// BlockedConv: outpost.FusedConv on channel blocks. x is blocked, or planar for a first layer of few channels; the
// weights are those of Conv, packed once where they are constant. Where the block is not the kernels' own, and in f64, it
// runs in plain loops. Made by the layout pass.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/kernels.h"
#include "ops/blocked/blocked.h"
#include "ops/product.h"

namespace outpost {
namespace {

struct Prepared {
  WindowAttributes window;
  int64_t groups = 1, block = 16;
  FusedActivation activation;
  kernels::BlockedAlgorithm algorithm = kernels::BlockedAlgorithm::direct;
  Tensor packed, bias;  // where constant: weights, and the bias padded to whole blocks
};

void check_channels(const InferContext& c, int64_t groups, int64_t block, bool planar) {
  const Dims& w = c.dims(1);
  c.require(w[0].known() && w[1].known(), "W's channels must be known; found ", c.input(1));
  const int64_t out = w[0].size, in = w[1].size;
  c.require(groups >= 1 && out >= 1 && out % groups == 0 && in <= INT64_MAX / groups, "W ", c.input(1),
            " does not divide into ", groups, " groups");
  const bool depthwise = in == 1 && out == groups, whole = in % block == 0 && out / groups % block == 0;
  c.require(groups == 1 || (!planar && (depthwise || whole)), "group is ", groups,
            "; on channel blocks groups are whole blocks, or one channel each");
  const Dim found = c.dims(0)[1];
  const int64_t wanted = planar ? in * groups : blocks_of(in * groups, block);
  c.require(!found.known() || found.size == wanted, "X is ", c.input(0), "; W ", c.input(1), " with group ", groups,
            " expects ", wanted, " in axis 1");
}

void infer(InferContext& c) {
  c.require_dtype(0, {DType::f32, DType::f64});
  for (int i = 1; i < 4; ++i) c.require_same_dtype(0, i);
  const WindowAttributes window = WindowAttributes::of(c.node());
  const int64_t groups = c.attributes().integer("group", 1), block = block_of(c.node());
  FusedActivation::of(c.node());
  const int64_t winograd = c.attributes().integer("winograd", 1);
  c.require(winograd == 0 || winograd == 1 || winograd == 2 || winograd == 4, "winograd is ", winograd,
            "; expected 0 (never), 1 (where faster), 2 or 4 (in tiles of that many rows)");
  const std::string_view compute = c.attributes().string("compute", "f32");
  c.require(compute == "f32" || compute == "bf16", "compute is '", compute, "'; expected f32 or bf16");
  c.require(c.ranked(1) && c.rank(1) == 4, "W must be (outputs, inputs of a group, height, width); found ", c.input(1));
  if (!c.ranked(0)) return c.output(0, c.dtype(0), Dims{Dim(), Dim(), Dim(), Dim(), Dim(block)});
  const Dims &x = c.dims(0), &w = c.dims(1);
  c.require(x.size() == 4 || (x.size() == 5 && (!x[4].known() || x[4].size == block)), "X must be (batch, channels, height, width) "
            "or that in blocks of ", block, "; found ", c.input(0));
  check_channels(c, groups, block, x.size() == 4);
  if (c.has(2) && c.ranked(2))
    c.require(c.rank(2) == 1 && (!c.dims(2)[0].known() || c.dims(2)[0].size == w[0].size),
              "B must have one value per output channel; found ", c.input(2));
  Dims out{x[0], w[0]};
  for (const Dim& d : window_dims(c, window, std::span(x).subspan(2, 2), std::span(w).subspan(2))) out.push_back(d);
  if (c.has(3) && c.ranked(3)) c.require(c.rank(3) == 5, "the residual ", c.input(3), " must have the output's shape");
  c.output(0, c.dtype(0), blocked_dims(out, block));
}

kernels::BlockedConv with_weights(const Shape& w, int64_t groups, bool planar) {
  kernels::BlockedConv c;
  c.groups = groups, c.out_channels = w[0], c.in_channels = w[1] * groups, c.x_planar = planar;
  return c;
}

bool native(const Prepared& p, DType dtype) { return dtype == DType::f32 && p.block == native_block(); }

void pad_bias(const float* bias, int64_t channels, int64_t block, float* to) {
  std::memcpy(to, bias, static_cast<size_t>(channels) * sizeof(float));
  std::fill(to + channels, to + blocks_of(channels, block) * block, 0.0f);
}

// The fastest for constant weights. Attribute winograd: 0 asks for the direct sum, 2 and 4 for tiles of 2x2 and 4x4
// where they can be, 1 is the default. Attribute compute: bf16 may round the products' factors. Winograd's transforms
// of weights that are not finite would spoil whole channels; whether they are is kept beside the packed ones, since
// those may be all that is left of them.
kernels::BlockedAlgorithm algorithm_of(const PrepareContext& context, kernels::BlockedConv c, const Tensor* w) {
  using enum kernels::BlockedAlgorithm;
  const Node& node = context.node;
  const int64_t winograd = node.attributes.integer("winograd", 1);
  if (winograd > 1 && kernels::winograd_applies(c, native_block())) return winograd == 2 ? winograd2 : winograd4;
  if (!w) return direct;
  const Dims &x = node.input(0)->type.dims, &y = node.output(0)->type.dims;
  if (x[0].known()) c.batch = x[0].size;
  for (int i = 1; i < 3; ++i) c.window.out[i] = y.size() == 5 && y[i + 1].known() ? y[i + 1].size : 0;
  c.bf16 = node.attributes.string("compute", "f32") == "bf16";
  const kernels::BlockedAlgorithm fastest = kernels::kernels().conv_blocked_algorithm(c);
  if (fastest != winograd2 && fastest != winograd4) return fastest;
  if (!winograd) return direct;
  const Tensor finite = context.packed("finite", 1, [&](void* flag) {
    const auto is_finite = [](float v) { return std::isfinite(v); };
    *static_cast<bool*>(flag) = std::all_of(w->data<float>(), w->data<float>() + w->count(), is_finite);
  });
  return *static_cast<const bool*>(finite.raw()) ? fastest : direct;
}

std::shared_ptr<const void> prepare(const PrepareContext& c) {
  auto p = std::make_shared<Prepared>();
  p->window = WindowAttributes::of(c.node);
  p->groups = c.attributes().integer("group", 1);
  p->block = block_of(c.node);
  p->activation = FusedActivation::of(c.node);
  const Tensor *w = c.constant(1), *bias = c.constant(2);
  const Type& x = c.node.input(0)->type;
  const Type& weights = c.node.input(1)->type;
  if (x.ranked && weights.is_static() && native(*p, weights.dtype)) {
    const Shape shape = weights.shape();
    kernels::BlockedConv conv = with_weights(shape, p->groups, x.rank() == 4);
    const int64_t ones[2] = {1, 1};
    conv.window = resolve_window(p->window, 2, ones, shape.data() + 2);
    p->algorithm = conv.algorithm = algorithm_of(c, conv, w);
    if (w) {
      const kernels::Kernels& k = kernels::kernels();
      const std::string name = "w" + std::to_string(static_cast<int>(p->algorithm));
      p->packed = c.packed(name, k.conv_blocked_pack_bytes(conv),
                           [&](void* packed) { k.conv_blocked_pack(conv, w->data<float>(), packed); });
      c.consumed(1);
    }
  }
  if (bias && native(*p, bias->dtype())) {
    p->bias = Tensor(DType::f32, {blocks_of(bias->count(), p->block) * p->block});
    pad_bias(bias->data<float>(), bias->count(), p->block, p->bias.data<float>());
  }
  return p;
}

kernels::BlockedConv convolution(const View& x, const View& w, const Prepared& p) {
  kernels::BlockedConv c = with_weights(w.shape(), p.groups, x.rank() == 4);
  c.batch = x.dim(0);
  c.algorithm = p.algorithm;
  c.window = resolve_window(p.window, 2, x.shape().data() + 2, w.shape().data() + 2);
  return c;
}

double work_of(const kernels::BlockedConv& c) {
  return static_cast<double>(c.batch * c.out_channels * (c.in_channels / c.groups)) *
         static_cast<double>(volume(c.window.kernel)) * static_cast<double>(volume(c.window.out));
}

// Scratch: packed weights and padded bias (when not constant), then the kernels' for each thread.
struct Layout {
  size_t packed, bias, slice;
  Layout(const kernels::BlockedConv& c, const Prepared& p, bool has_bias)
      : packed(p.packed.defined() ? 0 : slice_bytes(kernels::kernels().conv_blocked_pack_bytes(c))),
        bias(has_bias && !p.bias.defined()
                 ? slice_bytes(static_cast<size_t>(blocks_of(c.out_channels, p.block) * p.block) * sizeof(float)) : 0),
        slice(slice_bytes(kernels::kernels().conv_blocked_scratch_bytes(c))) {}
};

size_t scratch(const ScratchContext& c) {
  const auto& p = *static_cast<const Prepared*>(c.prepared);
  if (!native(p, c.in(0).dtype)) return 0;
  const Layout l(convolution(c.in(0), c.in(1), p), p, c.has(2));
  return l.packed + l.bias + l.slice * static_cast<size_t>(c.threads);
}

void run_kernels(const RunContext& r, const Prepared& p, kernels::BlockedConv c) {
  const kernels::Kernels& k = kernels::kernels();
  const Layout l(c, p, r.has(2));
  char* memory = r.scratch<char>();
  c.packed_weights = p.packed.raw();
  if (!p.packed.defined()) {
    k.conv_blocked_pack(c, r.in(1).as<const float>(), memory);
    c.packed_weights = memory;
  }
  if (r.has(2)) c.epilogue.row_bias = p.bias.raw();
  if (l.bias) {
    auto* bias = reinterpret_cast<float*>(memory + l.packed);
    pad_bias(r.in(2).as<const float>(), c.out_channels, p.block, bias);
    c.epilogue.row_bias = bias;
  }
  c.x = r.in(0).as<const float>(), c.y = r.out(0).as<float>();
  if (r.has(3)) c.epilogue.residual = r.in(3).data;
  p.activation.set(c.epilogue);
  char* slices = memory + l.packed + l.bias;
  const int64_t tiles = k.conv_blocked_tiles(c);
  const double each = work_of(c) / static_cast<double>(std::max<int64_t>(1, tiles));
  r.parallel_ranges(tiles, static_cast<int64_t>(serial_work / (each + 1)) + 1, [&](int64_t begin, int64_t end) {
    k.conv_blocked(c, begin, end, slices + l.slice * static_cast<size_t>(RunContext::worker()));
  });
}

void run(RunContext& r) {
  const Prepared& p = r.prepared<Prepared>();
  const kernels::BlockedConv c = convolution(r.in(0), r.in(1), p);
  if (r.has(3) && !(r.in(3).shape() == r.out(0).shape()))
    r.fail("the residual is ", r.in(3).shape(), "; expected ", r.out(0).shape());
  if (r.out(0).count() == 0) return;
  if (native(p, r.in(0).dtype)) return run_kernels(r, p, c);
  PlainConv plain{.shape = c, .block = p.block, .x = r.in(0).data, .w = r.in(1).data, .y = r.out(0).data, .activation = p.activation};
  if (r.has(2)) plain.bias = r.in(2).data;
  if (r.has(3)) plain.residual = r.in(3).data;
  if (r.in(0).dtype == DType::f32) run_plain_conv<float>(r, plain);
  else run_plain_conv<double>(r, plain);
}

Cost cost(const CostContext& c) {
  const Type &x = *c.in(0), &w = *c.in(1), &y = *c.out(0);
  if (!w.is_static() || w.dims[0].size == 0) return {};
  return {2 * c.count(y) * c.count(w) / static_cast<double>(w.dims[0].size),
          (c.count(x) + c.count(w) + c.count(y)) * bits(y.dtype) / 8};
}

void expand(ExpandContext& c) {
  Attributes window;
  for (const auto& [name, value] : c.attributes())
    if (name != "block" && name != "compute" && name != "winograd" && !name.starts_with("activation")) window.set(name, value);
  const Dims& w = c.in(1)->type.dims;
  const int64_t groups = c.attributes().integer("group", 1);
  Value* x = c.in(0);
  if (x->type.rank() == 5) x = c.emit("UnblockChannels", {x}, {{"channels", w[1].size * groups}}, "outpost");
  Value* y = c.emit("Conv", {x, c.in(1), c.in(2)}, window);
  if (c.has(3)) y = c.add(y, c.emit("UnblockChannels", {c.in(3)}, {{"channels", w[0].size}}, "outpost"));
  y = expand_activation(c, y, c.attributes());
  c.replace(0, c.emit("BlockChannels", {y}, {{"block", block_of(c.node)}}, "outpost"));
}

}  // namespace

OUTPOST_DEFINE_OP(outpost_BlockedConv, .name = "BlockedConv", .domain = "outpost", .min_inputs = 2, .max_inputs = 4,
                  .doc = "activation(Conv + residual) on channel blocks", .infer = infer, .run = run, .expand = expand,
                  .no_gradient = "made for inference, after gradients", .cost = cost, .prepare = prepare,
                  .scratch = scratch, .in_place = {{3, 0}}, .cases = R"(
  block=16 pads=[1,1,1,1] | f32[1,1,5,6,16] f32[4,3,3,3] f32[4]
  block=16 pads=[1,1,1,1] activation="relu" | f32[2,2,5,6,16] f32[33,20,3,3] f32[33] f32[2,3,5,6,16]
  block=16 activation="silu" | f32[1,3,4,4,16] f32[17,33,1,1] f32[17]
  block=16 activation="sigmoid" strides=[2,2] | f32[1,1,7,6,16] f32[16,16,1,1] - f32[1,1,4,3,16]
  block=8 strides=[2,2] auto_pad="SAME_UPPER" | f32[1,1,7,6,8] f32[3,2,3,3]
  block=8 pads=[1,0,2,1] dilations=[2,1] activation="clip" activation_low=-1.0 activation_high=2.0 | f32[1,2,6,6,8] f32[12,10,2,3] f32[12]
  block=8 group=2 pads=[1,1,1,1] | f32[1,2,5,5,8] f32[16,8,3,3] f32[16]
  block=4 activation="hardswish" | f32[1,2,3,3,4] f32[6,8,1,1] - f32[1,2,3,3,4]
  block=4 activation="leaky" activation_low=0.1 | f32[1,1,3,3,4] f32[6,3,2,2]
  block=16 group=20 pads=[1,1,1,1] activation="tanh" | f32[1,2,6,6,16] f32[20,1,3,3] f32[20]
  block=8 group=8 strides=[2,1] pads=[1,0,1,1] activation="gelu_erf" | f32[2,1,6,5,8] f32[8,1,3,3] - f32[2,1,3,4,8]
  block=16 strides=[2,2] pads=[3,3,3,3] activation="relu" | f32[1,3,13,14] f32[18,3,7,7] f32[18]
  block=8 strides=[2,2] dilations=[1,2] activation="gelu_tanh" | f32[2,3,6,7] f32[8,3,3,3]
  block=16 winograd=4 pads=[1,1,1,1] activation="relu" | f32[2,1,5,6,16] f32[17,4,3,3] f32[17] f32[2,2,5,6,16]
  block=8 winograd=2 pads=[0,1,1,2] activation="silu" | f32[1,2,7,9,8] f32[12,10,3,3] f32[12]
  block=4 winograd=4 group=2 | f32[1,2,9,6,4] f32[8,4,3,3]
  block=16 winograd=2 group=2 pads=[1,1,1,1] | f32[1,2,4,4,16] f32[32,16,3,3] - f32[1,2,4,4,16]
  block=16 winograd=0 pads=[1,1,1,1] | f32[1,1,5,6,16] f32[4,3,3,3] f32[4]
  block=16 | f32[0,1,5,5,16] f32[4,3,3,3]
)");

}  // namespace outpost
