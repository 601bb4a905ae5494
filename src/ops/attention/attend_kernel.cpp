// The common case of attention (f32 arithmetic, no scores wanted) as one kernel call a tile.
#include "ops/attention/attend_kernel.h"

#include <algorithm>

#include "kernels/kernels.h"

namespace outpost {
namespace {

using kernels::AttentionBias;

std::optional<AttentionBias::Kind> kind_of(const AttentionMask& m) {
  if (!m.data) return AttentionBias::none;
  if (m.column != 0 && m.column != 1) return std::nullopt;
  switch (m.dtype) {
    case DType::boolean: return AttentionBias::boolean;
    case DType::f32: return AttentionBias::f32;
    case DType::f16: return AttentionBias::f16;
    case DType::bf16: return AttentionBias::bf16;
    default: return std::nullopt;
  }
}

kernels::AttentionSide side(const AttentionOperand& o) { return {o.data, float_type(o.dtype), o.batch, o.head, o.row}; }

bool narrow(DType d) { return d == DType::f32 || d == DType::f16 || d == DType::bf16; }

size_t bytes_a_thread(const kernels::Attention& t) { return (kernels::kernels().attention_scratch_bytes(t) + 63) / 64 * 64; }

}  // namespace

std::optional<kernels::Attention> kernel_form(const Attend& a) {
  if (a.scores || !narrow(a.q.dtype) || !narrow(a.k.dtype) || !narrow(a.v.dtype) || !narrow(a.y.dtype)) return std::nullopt;
  kernels::Attention t;
  t.batch = a.batch, t.heads = a.heads, t.kv_heads = a.kv_heads, t.queries = a.queries, t.keys = a.keys;
  t.head_size = a.head_size, t.value_size = a.value_size;
  t.q = side(a.q), t.k = side(a.k), t.v = side(a.v), t.y = side(a.y);
  t.scale = static_cast<float>(a.scale), t.softcap = static_cast<float>(a.softcap);
  for (int i = 0; i < 2; ++i) {
    const AttentionMask& m = a.masks[i];
    const std::optional<AttentionBias::Kind> kind = kind_of(m);
    if (!kind) return std::nullopt;
    t.bias[i] = {*kind, m.data, m.batch, m.head, m.row, m.column, m.columns};
  }
  t.offsets = a.offsets, t.offset = a.offset, t.left = a.left, t.right = a.right;
  t.valid_keys = a.valid_keys, t.sinks = a.sinks, t.zero_sink = a.zero_sink;
  return t;
}

size_t kernel_scratch_bytes(const kernels::Attention& t, int threads) { return bytes_a_thread(t) * static_cast<size_t>(threads); }

void attend(const RunContext& c, const kernels::Attention& t, void* scratch) {
  const auto& k = kernels::kernels();
  const size_t bytes = bytes_a_thread(t);
  const int64_t tiles = k.attention_tiles(t);
  const double flops = 2.0 * double(t.batch * t.heads) * double(t.queries) * double(t.keys) * double(t.head_size + t.value_size);
  if (flops < 200e3) return k.attention(t, 0, tiles, scratch);
  c.parallel(tiles, [&](int64_t tile) {
    k.attention(t, tile, tile + 1, static_cast<std::byte*>(scratch) + bytes * static_cast<size_t>(RunContext::worker()));
  });
}

}  // namespace outpost
