// GridSample (ONNX 22): reads x (batch, channel, d1 … dr) at the places a grid (batch, o1 … or, r) names; nearest, linear
// or cubic (Keys, a = -0.75) in r dimensions; outside is zero, the border, or reflected. Places are turned into tables of
// positions and weights a block at a time, then every channel is mixed with the same tables.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/kernels.h"
#include "ops/carve.h"
#include "ops/op.h"
#include "tensor/convert.h"

namespace outpost {
namespace {

enum class Mode : uint8_t { linear, nearest, cubic };
enum class Padding : uint8_t { zeros, border, reflection };

constexpr int64_t block = 128;  // places whose tables are made at once
constexpr int max_dimensions = 6;

struct Options {
  Mode mode;
  Padding padding;
  bool align_corners;
};

Options options(const Attributes& a) {
  const auto mode = a.string("mode", "linear"), padding = a.string("padding_mode", "zeros");
  return {mode == "nearest" ? Mode::nearest : mode == "cubic" ? Mode::cubic : Mode::linear,
          padding == "border" ? Padding::border : padding == "reflection" ? Padding::reflection : Padding::zeros,
          a.integer("align_corners", 0) != 0};
}

int taps_per_axis(Mode mode) { return mode == Mode::nearest ? 1 : mode == Mode::linear ? 2 : 4; }

int64_t tap_count(Mode mode, int dimensions) {
  int64_t n = 1;
  for (int i = 0; i < dimensions; ++i) n *= taps_per_axis(mode);
  return n;
}

void infer(InferContext& c) {
  c.require_inputs(2, 2);
  const auto mode = c.attributes().string("mode", "linear"), padding = c.attributes().string("padding_mode", "zeros");
  c.require(mode == "linear" || mode == "nearest" || mode == "cubic", "mode is '", mode, "'; expected linear, nearest or cubic");
  c.require(padding == "zeros" || padding == "border" || padding == "reflection", "padding_mode is '", padding,
            "'; expected zeros, border or reflection");
  c.require_dtype(1, {DType::f32, DType::f64, DType::f16, DType::bf16});
  c.require(c.dtype(0) != DType::string, "strings cannot be sampled");
  if (mode != "nearest")
    c.require(c.dtype(0) != DType::complex64 && c.dtype(0) != DType::complex128 && c.dtype(0) != DType::boolean, c.dtype(0), " is sampled by nearest only");
  if (!c.ranked(0)) return c.output(0, c.dtype(0));
  const Dims& x = c.dims(0);
  const int dimensions = c.rank(0) - 2;
  c.require(dimensions >= 1, "x has rank ", c.rank(0), "; expected at least 3");
  c.require(dimensions <= (mode == "cubic" ? 4 : max_dimensions), dimensions, " spatial dimensions are more than this mode is built for");
  Dims y{x[0], x[1]};
  y.resize(x.size());
  if (c.ranked(1)) {
    const Dims& grid = c.dims(1);
    c.require(grid.size() == x.size(), "the grid has rank ", grid.size(), "; expected ", x.size());
    c.require(!grid.back().known() || grid.back().size == dimensions, "the grid's places have ", grid.back().size, " coordinates; expected ", dimensions);
    c.require(!grid[0].known() || !x[0].known() || grid[0].size == x[0].size, "the grid has a batch of ", grid[0].size, "; expected ", x[0].size);
    for (int i = 0; i < dimensions; ++i) y[static_cast<size_t>(i + 2)] = grid[static_cast<size_t>(i + 1)];
  }
  c.output(0, c.dtype(0), y);
}

double reflect(double x, double low, double high) {
  const double range = high - low;
  if (!(range > 0)) return low;
  const double beyond = x < low ? low - x : x - high, turns = std::floor(beyond / range), rest = beyond - turns * range;
  const bool even = std::fmod(turns, 2) == 0;
  return (x < low) == even ? low + rest : high - rest;
}

// One coordinate of one place: the positions along its axis and their weights. A position outside (zeros) weighs nothing.
struct Line {
  int64_t at[4];
  double weight[4];
};

class Place {
 public:
  Place(const Options& o, int64_t length) : o_(o), length_(length), low_(o.align_corners ? 0 : -0.5), high_(static_cast<double>(length) - (o.align_corners ? 1 : 0.5)) {}

  Line read(double coordinate) const {
    const double n = static_cast<double>(length_);
    // As the reference has it, the place itself is f32.
    double x = static_cast<float>(o_.align_corners ? (coordinate + 1) / 2 * (n - 1) : ((coordinate + 1) * n - 1) / 2);
    if (!(x > -1e9 && x < 1e9)) x = o_.padding == Padding::zeros || x != x ? -1e9 : x < 0 ? low_ : high_;
    if (o_.mode == Mode::nearest) x = std::nearbyint(x);
    if (x < low_ || x > high_) {
      if (o_.padding == Padding::border) x = std::clamp(x, 0.0, n - 1);
      if (o_.padding == Padding::reflection) x = static_cast<float>(reflect(x, low_, high_));
    }
    Line line{};
    if (o_.mode == Mode::nearest) {
      line.weight[0] = 1;
      put(line, 0, static_cast<int64_t>(x));
      return line;
    }
    const double base = std::floor(x), t = x - base;
    if (o_.mode == Mode::linear) {
      line.weight[0] = 1 - t, line.weight[1] = t;
      for (int i = 0; i < 2; ++i) put(line, i, static_cast<int64_t>(base) + i);
      return line;
    }
    cubic(t, line.weight);
    for (int i = 0; i < 4; ++i) put(line, i, static_cast<int64_t>(base) + i - 1);
    return line;
  }

 private:
  static void cubic(double t, double* w) {
    constexpr double a = -0.75;
    auto outer = [](double d) { return ((a * d - 5 * a) * d + 8 * a) * d - 4 * a; };
    auto inner = [](double d) { return ((a + 2) * d - (a + 3)) * d * d + 1; };
    w[0] = outer(t + 1), w[1] = inner(t), w[2] = inner(1 - t), w[3] = outer(2 - t);
  }

  void put(Line& line, int i, int64_t at) const {
    if (at < 0 || at >= length_) {
      if (o_.padding == Padding::zeros) line.weight[i] = 0;
      if (o_.padding == Padding::reflection) at = static_cast<int64_t>(reflect(static_cast<double>(at), low_, high_));
      at = std::clamp<int64_t>(at, 0, length_ - 1);
    }
    line.at[i] = at;
  }

  const Options& o_;
  const int64_t length_;
  const double low_, high_;
};

// Positions within a channel and their weights, (taps, block), for a block of places.
template <class T>
struct Tables {
  int32_t* index;
  T* weights;
  bool* blank;  // every position is outside
};

template <class T>
Tables<T> lay_out(Carve& carve, int64_t taps) {
  return {carve.take<int32_t>(taps * block), carve.take<T>(taps * block), carve.take<bool>(block)};
}

template <class T>
void fill_tables(const Options& o, const View& x, const View& grid, int64_t first, int64_t count, const Tables<T>& t) {
  const int dimensions = x.rank() - 2, per_axis = taps_per_axis(o.mode);
  const int64_t taps = tap_count(o.mode, dimensions);
  for (int64_t p = 0; p < count; ++p) {
    double coordinates[max_dimensions];
    load(grid.dtype, grid.data, (first + p) * dimensions, dimensions, DType::f64, coordinates);
    Line lines[max_dimensions];
    for (int d = 0; d < dimensions; ++d) lines[d] = Place(o, x.dim(d + 2)).read(coordinates[dimensions - 1 - d]);  // innermost first
    bool blank = true;
    for (int64_t k = 0; k < taps; ++k) {
      int64_t at = 0, rest = k, scale = taps;
      double weight = 1;
      for (int d = 0; d < dimensions; ++d) {
        scale /= per_axis;
        const int64_t i = rest / scale;
        rest %= scale;
        at = at * x.dim(d + 2) + lines[d].at[i];
        weight *= lines[d].weight[i];
      }
      t.index[k * count + p] = static_cast<int32_t>(at);
      t.weights[k * count + p] = static_cast<T>(weight);
      blank = blank && weight == 0;
    }
    t.blank[p] = blank;
  }
}

void mix(const float* x, const Tables<float>& t, int64_t taps, int64_t n, float* y) {
  kernels::kernels().mix_columns(x, t.index, t.weights, taps, 1, n, y);
}
void mix(const double* x, const Tables<double>& t, int64_t taps, int64_t n, double* y) {
  for (int64_t i = 0; i < n; ++i) {
    y[i] = 0;
    for (int64_t k = 0; k < taps; ++k) y[i] += t.weights[k * n + i] * x[t.index[k * n + i]];
  }
}

DType work_type(DType dtype) {
  const DType kind = compute_type(dtype);
  return kind == DType::f64 || (kind != DType::f32 && bits(dtype) >= 32) ? DType::f64 : DType::f32;
}

template <class T>
constexpr DType type_of = std::is_same_v<T, double> ? DType::f64 : DType::f32;

template <class T>
struct Room {
  T* x;  // all of x as T, unless it is
  std::byte* tables;
  size_t tables_bytes;
};

template <class T>
Room<T> lay_out(Carve& carve, const View& x, Mode mode, int threads) {
  Carve one;
  lay_out<T>(one, tap_count(mode, x.rank() - 2));
  one.take<T>(block);
  Room<T> room;
  room.x = mode != Mode::nearest && x.dtype != type_of<T> ? carve.take<T>(x.count()) : nullptr;
  room.tables_bytes = one.bytes();
  room.tables = static_cast<std::byte*>(carve.take_bytes(one.bytes() * static_cast<size_t>(threads)));
  return room;
}

template <class T>
void run_as(RunContext& c) {
  const Options o = options(c.attributes());
  const View &x = c.in(0), &grid = c.in(1), &y = c.out(0);
  const int64_t taps = tap_count(o.mode, x.rank() - 2), channels = x.dim(1);
  const int64_t places = y.shape().count(2, y.rank()), plane = x.shape().count(2, x.rank());
  if (y.count() == 0) return;
  c.require(plane > 0, "x has no positions to sample");
  c.require(plane < int64_t{1} << 31, "x has ", plane, " positions in a channel; at most 2^31 - 1 are indexed");
  Carve carve(c.scratch());
  const Room<T> room = lay_out<T>(carve, x, o.mode, c.threads());
  if (room.x) c.parallel_ranges(x.count(), 1 << 15, [&](int64_t begin, int64_t end) { load(x.dtype, x.data, begin, end - begin, type_of<T>, room.x + begin); });
  const T* values = room.x ? room.x : x.as<T>();
  const size_t element = bytes_for(x.dtype, 1);
  const int64_t blocks = (places + block - 1) / block;
  c.parallel(x.dim(0) * blocks, [&](int64_t tile) {
    const int64_t n = tile / blocks, first = tile % blocks * block, count = std::min(block, places - first);
    Carve mine(room.tables + room.tables_bytes * static_cast<size_t>(RunContext::worker()));
    const Tables<T> t = lay_out<T>(mine, taps);
    T* line = mine.take<T>(block);
    fill_tables(o, x, grid, n * places + first, count, t);
    for (int64_t ch = n * channels; ch < (n + 1) * channels; ++ch) {
      const int64_t to = ch * places + first;
      if (o.mode == Mode::nearest) {
        const auto* from = static_cast<const std::byte*>(x.data) + static_cast<size_t>(ch * plane) * element;
        auto* out = static_cast<std::byte*>(y.data) + static_cast<size_t>(to) * element;
        for (int64_t p = 0; p < count; ++p) {
          if (t.blank[p]) std::memset(out + static_cast<size_t>(p) * element, 0, element);
          else std::memcpy(out + static_cast<size_t>(p) * element, from + static_cast<size_t>(t.index[p]) * element, element);
        }
        continue;
      }
      mix(values + ch * plane, t, taps, count, line);
      for (int64_t p = 0; p < count; ++p)
        if (t.blank[p]) line[p] = 0;
      store(type_of<T>, line, count, y.dtype, y.data, to);
    }
  });
}

void run(RunContext& c) {
  if (work_type(c.in(0).dtype) == DType::f64) run_as<double>(c);
  else run_as<float>(c);
}

size_t scratch(const ScratchContext& c) {
  Carve carve;
  const Mode mode = options(c.node.attributes).mode;
  if (work_type(c.in(0).dtype) == DType::f64) lay_out<double>(carve, c.in(0), mode, c.threads);
  else lay_out<float>(carve, c.in(0), mode, c.threads);
  return carve.bytes();
}

// Opset 16 named the modes for two dimensions.
void upgrade(UpgradeContext& c) {
  const auto mode = c.attributes().string("mode", "linear");
  if (mode == "bilinear") c.node.attributes.set("mode", std::string("linear"));
  if (mode == "bicubic") c.node.attributes.set("mode", std::string("cubic"));
}

Cost cost(const CostContext& c) {
  const double y = c.count(*c.out(0)), taps = static_cast<double>(tap_count(options(c.node.attributes).mode, std::max(0, c.in(0)->rank() - 2)));
  return {2 * taps * y, 4 * (y + c.count(*c.in(0)) + c.count(*c.in(1)))};
}

}  // namespace

OUTPOST_DEFINE_OP(GridSample, .name = "GridSample", .since = 22, .first = 16, .min_inputs = 2, .max_inputs = 2,
                  .doc = "samples of a tensor at the places a grid names", .infer = infer, .run = run, .upgrade = upgrade, .cost = cost,
                  .scratch = scratch,
                  .cases = R"( | f32[2,3,4,5] f32[2,3,2,2](-1.3,1.3)
mode="cubic" padding_mode="border" align_corners=1 | f32[1,2,4,5] f32[1,3,3,2](-1.3,1.3)
mode="nearest" padding_mode="reflection" | f32[1,2,3,4,5] f32[1,2,2,3,3](-1.5,1.5)
 | f32[1,2,4] f32[1,0,1])");

}  // namespace outpost
