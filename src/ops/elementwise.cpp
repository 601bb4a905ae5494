// The two maps behind every elementwise operator: choose the row for the compute type, split the output into ranges,
// run rows over memory as it lies where that is possible and over converted or gathered tiles where not.
#include "ops/elementwise.h"

#include <algorithm>

#include "tensor/convert.h"

namespace outpost {

namespace {

// Inner rows shorter than this are gathered into tiles first.
constexpr int64_t short_row = 32;

UnaryRow select(const UnaryRows& rows, DType compute) {
  switch (compute) {
    case DType::f32: return rows.f32;
    case DType::f64: return rows.f64;
    case DType::i64: return rows.i64;
    default: return rows.u64;
  }
}

BinaryRow select(const BinaryRows& rows, DType compute) {
  switch (compute) {
    case DType::f32: return rows.f32;
    case DType::f64: return rows.f64;
    case DType::i64: return rows.i64;
    case DType::u64: return rows.u64;
    default: return rows.boolean;
  }
}

const void* element(const void* data, int64_t index, int64_t bytes) {
  return static_cast<const char*>(data) + index * bytes;
}
void* element(void* data, int64_t index, int64_t bytes) { return static_cast<char*>(data) + index * bytes; }

// One operand of a tiled map: where a tile's values come from.
struct Operand {
  const View& view;
  const Broadcast& shape;
  int k;
  DType compute;
  int64_t bytes;

  Operand(const View& v, const Broadcast& s, int index, DType c)
      : view(v), shape(s), k(index), compute(c), bytes(bits(v.dtype) / 8) {}

  // The values of elements [first, first + n): an address and a step.
  std::pair<const void*, int64_t> tile(int64_t first, int64_t n, TileBuffer& buffer, TileBuffer& raw) const {
    const bool direct = view.dtype == compute;
    if (shape.scalar[k]) {
      if (direct) return {view.data, 0};
      load_tile(view.dtype, view.data, 0, 1, compute, buffer.bytes);
      return {buffer.bytes, 0};
    }
    if (shape.contiguous[k]) {
      if (direct) return {element(static_cast<const void*>(view.data), first, bytes), 1};
      load_tile(view.dtype, view.data, first, n, compute, buffer.bytes);
      return {buffer.bytes, 1};
    }
    shape.gather(k, view.data, static_cast<int>(bytes), first, n, direct ? buffer.bytes : raw.bytes);
    if (!direct) load_tile(view.dtype, raw.bytes, 0, n, compute, buffer.bytes);
    return {buffer.bytes, 1};
  }
};

template <class Row>
void map_tiles(RunContext& c, const Broadcast& shape, const View& a, const View& b, View& y, DType compute,
               DType result, Row row) {
  const Operand left(a, shape, 0, compute), right(b, shape, 1, compute);
  const bool direct = y.dtype == result;
  const int64_t bytes = bits(y.dtype) / 8;
  c.parallel_ranges(shape.count, elementwise_grain, [&](int64_t begin, int64_t end) {
    TileBuffer left_buffer, right_buffer, raw, out;
    for (int64_t i = begin; i < end; i += elementwise_tile) {
      const int64_t n = std::min(elementwise_tile, end - i);
      const auto [x0, step0] = left.tile(i, n, left_buffer, raw);
      const auto [x1, step1] = right.tile(i, n, right_buffer, raw);
      void* target = direct ? element(y.data, i, bytes) : out.bytes;
      row(x0, step0, x1, step1, target, n);
      if (!direct) store_tile(result, out.bytes, n, y.dtype, y.data, i);
    }
  });
}

template <class Row>
void map_rows(RunContext& c, const Broadcast& shape, const View& a, const View& b, View& y, Row row) {
  const int64_t in_bytes = bits(a.dtype) / 8, out_bytes = bits(y.dtype) / 8;
  const int64_t step0 = shape.inner_stride(0), step1 = shape.inner_stride(1);
  c.parallel_ranges(shape.count, elementwise_grain, [&](int64_t begin, int64_t end) {
    BroadcastCursor at(shape, begin);
    for (int64_t i = begin; i < end;) {
      const int64_t n = std::min(at.left(), end - i);
      row(element(static_cast<const void*>(a.data), at.offset(0), in_bytes), step0,
          element(static_cast<const void*>(b.data), at.offset(1), in_bytes), step1, element(y.data, i, out_bytes), n);
      i += n;
      at.advance(n);
    }
  });
}

template <class Row>
void map_with(RunContext& c, const View& a, const View& b, View& y, DType compute, DType result, Row row) {
  const bool direct = a.dtype == compute && b.dtype == compute && y.dtype == result;
  const int64_t count = y.count();
  if (direct && count <= elementwise_grain && a.count() == count && b.count() == count) {
    if (count) row(a.data, 1, b.data, 1, y.data, count);
    return;
  }
  const Broadcast shape = make_broadcast(y.shape(), {&a.shape(), &b.shape()});
  if (shape.count == 0) return;
  if (direct && (shape.inner() >= short_row || shape.rank <= 1)) map_rows(c, shape, a, b, y, row);
  else map_tiles(c, shape, a, b, y, compute, result, row);
}

}  // namespace

void require_types(const InferContext& c, int i, uint32_t set) {
  if (!c.has(i)) return;
  const Type& t = c.input(i);
  if (!t.is_tensor() && t.kind != Type::Kind::none) c.fail("input ", i, " is ", t, "; expected a tensor");
  if (t.dtype == DType::undefined || contains(set, t.dtype)) return;
  std::string list;
  for (int d = 1; d < 32; ++d)
    if (set >> d & 1) list += text(list.empty() ? "" : ", ", static_cast<DType>(d));
  c.fail("input ", i, " is ", t.dtype, "; expected ", list);
}

void load_tile(DType storage, const void* from, int64_t first, int64_t n, DType compute, void* to) {
  if (compute == DType::f32 && storage == DType::f16) {
    kernels::kernels().f16_to_f32(static_cast<const uint16_t*>(from) + first, static_cast<float*>(to), n);
  } else if (compute == DType::f32 && storage == DType::bf16) {
    kernels::kernels().bf16_to_f32(static_cast<const uint16_t*>(from) + first, static_cast<float*>(to), n);
  } else {
    load(storage, from, first, n, compute, to);
  }
}

void store_tile(DType compute, const void* from, int64_t n, DType storage, void* to, int64_t first) {
  if (compute == DType::f32 && storage == DType::f16) {
    kernels::kernels().f32_to_f16(static_cast<const float*>(from), static_cast<uint16_t*>(to) + first, n);
  } else if (compute == DType::f32 && storage == DType::bf16) {
    kernels::kernels().f32_to_bf16(static_cast<const float*>(from), static_cast<uint16_t*>(to) + first, n);
  } else {
    store(compute, from, n, storage, to, first);
  }
}

void map_flat(RunContext& c, const View& x, View& y, DType compute, DType result,
              FunctionRef<void(const void*, void*, int64_t)> apply) {
  const int64_t in_bytes = bits(x.dtype) / 8, out_bytes = bits(y.dtype) / 8;
  const bool direct = x.dtype == compute && y.dtype == result;
  c.parallel_ranges(y.count(), elementwise_grain, [&](int64_t begin, int64_t end) {
    if (direct)
      return apply(element(static_cast<const void*>(x.data), begin, in_bytes), element(y.data, begin, out_bytes),
                   end - begin);
    TileBuffer in, out;
    for (int64_t i = begin; i < end; i += elementwise_tile) {
      const int64_t n = std::min(elementwise_tile, end - i);
      load_tile(x.dtype, x.data, i, n, compute, in.bytes);
      apply(in.bytes, out.bytes, n);
      store_tile(result, out.bytes, n, y.dtype, y.data, i);
    }
  });
}

void map_unary(RunContext& c, const UnaryRows& rows, const View& x, View& y, double a, double b) {
  const DType compute = compute_type(x.dtype), result = rows.predicate ? DType::boolean : compute;
  if (compute == DType::f32 && rows.kernel >= 0) {
    const auto kernel = kernels::kernels().unary[rows.kernel];
    return map_flat(c, x, y, compute, result, [&](const void* in, void* out, int64_t n) {
      kernel(static_cast<const float*>(in), static_cast<float*>(out), n, static_cast<float>(a), static_cast<float>(b));
    });
  }
  const UnaryRow row = select(rows, compute);
  if (!row) c.fail("not defined for ", x.dtype);
  map_flat(c, x, y, compute, result, [&](const void* in, void* out, int64_t n) { row(in, out, n, a, b); });
}

void map_binary(RunContext& c, const BinaryRows& rows, const View& a, const View& b, View& y, DType compute) {
  if (compute == DType::undefined)
    compute = a.dtype == DType::boolean && rows.boolean ? DType::boolean : compute_type(a.dtype);
  const DType result = rows.predicate ? DType::boolean : compute;
  if (compute == DType::f32 && rows.kernel >= 0) {
    const auto kernel = kernels::kernels().binary[rows.kernel];
    return map_with(c, a, b, y, compute, result,
                    [kernel](const void* p, int64_t p_step, const void* q, int64_t q_step, void* out, int64_t n) {
                      kernel(static_cast<const float*>(p), p_step, static_cast<const float*>(q), q_step,
                             static_cast<float*>(out), n);
                    });
  }
  const BinaryRow row = select(rows, compute);
  if (!row) c.fail("not defined for ", a.dtype);
  map_with(c, a, b, y, compute, result, row);
}

void upgrade_consumed_inputs(UpgradeContext& c) { c.node.attributes.erase("consumed_inputs"); }

void upgrade_axis_broadcast(UpgradeContext& c) {
  upgrade_consumed_inputs(c);
  if (c.from >= 7) return;
  auto& attributes = c.node.attributes;
  const bool wanted = attributes.integer("broadcast", 0) != 0;
  const bool has_axis = attributes.has("axis");
  const int64_t given = attributes.integer("axis", 0);
  attributes.erase("broadcast");
  attributes.erase("axis");
  if (!wanted || !has_axis || !c.has(0) || !c.has(1)) return;
  const Type &a = c.in(0)->type, &b = c.in(1)->type;
  if (!a.ranked || !b.ranked)
    fail(ErrorCode::unsupported, c.node.label(), " (opset ", c.from, "): broadcasting along axis ", given,
         " needs inputs of known rank");
  const int64_t axis = given < 0 ? given + a.rank() : given;
  const int64_t missing = a.rank() - axis - b.rank();
  if (axis < 0 || missing < 0)
    fail(ErrorCode::invalid_model, c.node.label(), " (opset ", c.from, "): axis ", given, " does not fit ranks ",
         a.rank(), " and ", b.rank());
  if (missing == 0) return;
  std::vector<int64_t> axes;
  for (int64_t i = 0; i < missing; ++i) axes.push_back(b.rank() + i);
  c.node.set_input(1, c.emit("Unsqueeze", {c.in(1), c.integers(axes)}));
}

}  // namespace outpost
