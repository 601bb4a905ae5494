// com.microsoft EmbedLayerNormalization: word, position and segment embeddings added up, then normalised; beside it the
// number of ones in each row of the mask, and the sum before normalisation.
#include <algorithm>

#include "kernels/kernels.h"
#include "ops/carve.h"
#include "ops/op.h"
#include "tensor/convert.h"

namespace outpost {
namespace {

enum Input { ids_input, segments_input, words_input, places_input, kinds_input, gamma_input, beta_input, mask_input, positions_input };

void infer(InferContext& c) {
  c.require_inputs(7, 9);
  for (int i : {ids_input, words_input, places_input, gamma_input, beta_input}) c.input(i);  // must be there
  for (int i : {ids_input, segments_input, mask_input, positions_input}) c.require_dtype(i, {DType::i32});
  c.require_dtype(words_input, {DType::f32, DType::f16});
  for (int i : {places_input, kinds_input, gamma_input, beta_input}) c.require_same_dtype(words_input, i);
  c.require(c.has(segments_input) == c.has(kinds_input), "segment_ids and segment_embedding go together");
  Dim batch, rows, columns;
  if (c.ranked(ids_input)) {
    c.require(c.rank(ids_input) == 2, "input_ids has rank ", c.rank(ids_input), "; expected 2");
    batch = c.dims(ids_input)[0], rows = c.dims(ids_input)[1];
  }
  for (int i : {words_input, places_input, kinds_input}) {
    if (!c.has(i) || !c.ranked(i)) continue;
    c.require(c.rank(i) == 2, "input ", i, " has rank ", c.rank(i), "; expected 2");
    const Dim d = c.dims(i)[1];
    c.require(!d.known() || !columns.known() || d.size == columns.size, "input ", i, " has ", d.size, " columns; expected ", columns.size);
    if (!columns.known()) columns = d;
  }
  for (int i : {gamma_input, beta_input})
    if (c.ranked(i)) c.require(c.rank(i) == 1 && (!c.dims(i)[0].known() || !columns.known() || c.dims(i)[0].size == columns.size), "input ", i, " is ", to_string(c.input(i)), "; expected one value a column");
  for (int i : {segments_input, mask_input}) {
    if (!c.has(i) || !c.ranked(i)) continue;
    const Dims& d = c.dims(i);
    c.require(d.size() == 2 && (!d[0].known() || !batch.known() || d[0].size == batch.size) && (!d[1].known() || !rows.known() || d[1].size == rows.size),
              "input ", i, " is ", to_string(c.input(i)), "; expected the shape of input_ids");
  }
  c.output(0, c.dtype(words_input), {batch, rows, columns});
  c.output(1, DType::i32, {batch});
  c.output(2, c.dtype(words_input), {batch, rows, columns});
}

struct Room {
  float *scale, *bias;  // (columns)
  float *sum, *part;    // per thread, (columns)
};
Room lay_out(Carve& carve, int64_t columns, int threads) {
  return {carve.take<float>(columns), carve.take<float>(columns), carve.take<float>(columns * threads), carve.take<float>(columns * threads)};
}

size_t scratch(const ScratchContext& c) {
  Carve carve;
  lay_out(carve, c.in(words_input).dim(1), c.threads);
  return carve.bytes();
}

int64_t row_of(const RunContext& c, int table, int64_t row, const char* what) {
  c.require(row >= 0 && row < c.in(table).dim(0), what, " ", row, " is outside 0..", c.in(table).dim(0) - 1);
  return row;
}

void count_masks(RunContext& c, int64_t batch, int64_t rows) {
  if (!c.wants(1)) return;
  auto* counts = c.out(1).as<int32_t>();
  for (int64_t b = 0; b < batch; ++b) {
    const int32_t* mask = c.has(mask_input) ? c.in(mask_input).as<int32_t>() + b * rows : nullptr;
    counts[b] = mask ? static_cast<int32_t>(std::count(mask, mask + rows, 1)) : 0;
  }
}

void run(RunContext& c) {
  const View &ids = c.in(ids_input), &y = c.out(0);
  const int64_t batch = ids.dim(0), rows = ids.dim(1), columns = c.in(words_input).dim(1);
  const float epsilon = c.attributes().real("epsilon", 1e-12f);
  const auto& k = kernels::kernels();
  Carve carve(c.scratch());
  const Room room = lay_out(carve, columns, c.threads());
  load(y.dtype, c.in(gamma_input).data, 0, columns, DType::f32, room.scale);
  load(y.dtype, c.in(beta_input).data, 0, columns, DType::f32, room.bias);
  count_masks(c, batch, rows);
  if (c.has(positions_input)) {
    const int64_t given = c.in(positions_input).count();
    c.require(given == rows || given == batch * rows, "position_ids has ", given, " values; expected ", rows, " or ", batch * rows);
  }
  c.parallel_ranges(batch * rows, std::max<int64_t>(1, 8192 / std::max<int64_t>(1, columns)), [&](int64_t begin, int64_t end) {
    float *sum = room.sum + columns * RunContext::worker(), *part = room.part + columns * RunContext::worker();
    auto add = [&](int table, int64_t row) {
      load(y.dtype, c.in(table).data, row * columns, columns, DType::f32, part);
      k.binary[int(kernels::Binary::add)](sum, 1, part, 1, sum, columns);
    };
    for (int64_t i = begin; i < end; ++i) {
      const int64_t word = row_of(c, words_input, ids.as<int32_t>()[i], "word");
      load(y.dtype, c.in(words_input).data, word * columns, columns, DType::f32, sum);
      int64_t place = i % rows;
      if (c.has(positions_input)) place = c.in(positions_input).as<int32_t>()[i % c.in(positions_input).count()];
      add(places_input, row_of(c, places_input, place, "position"));
      if (c.has(segments_input)) add(kinds_input, row_of(c, kinds_input, c.in(segments_input).as<int32_t>()[i], "segment"));
      if (c.wants(2)) store(DType::f32, sum, columns, y.dtype, c.out(2).data, i * columns);
      k.layer_norm_rows(sum, room.scale, room.bias, epsilon, sum, nullptr, nullptr, 1, columns);
      store(DType::f32, sum, columns, y.dtype, y.data, i * columns);
    }
  });
}

}  // namespace

OUTPOST_DEFINE_OP(ms_EmbedLayerNormalization, .name = "EmbedLayerNormalization", .domain = "com.microsoft", .since = 1, .first = 1,
                  .min_inputs = 1, .max_inputs = 9, .min_outputs = 1, .max_outputs = 3, .doc = "embeddings added up and normalised",
                  .infer = infer, .run = run, .scratch = scratch,
                  .cases = R"(epsilon=0.001 | i32[2,3]={0,1,2,3,4,5} i32[2,3]={0,0,1,0,1,1} f32[6,8] f32[4,8] f32[2,8] f32[8] f32[8] i32[2,3]={1,1,0,1,1,1}
epsilon=0.001 | i32[1,2]={0,1} - f32[6,8] f32[4,8] - f32[8] f32[8])");

}  // namespace outpost
