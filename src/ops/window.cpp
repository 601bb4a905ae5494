// Window attributes, resolved sizes, and unfolding (im2col) by tiles of output positions.
#include "ops/window.h"

#include <algorithm>
#include <cstring>

namespace outpost {
namespace {

constexpr int64_t largest = int64_t{1} << 30;  // of any attribute: products of two stay far from overflow

int64_t floor_divide(int64_t a, int64_t b) noexcept { return a >= 0 ? a / b : -((b - 1 - a) / b); }

WindowAttributes::List list(const Node& node, std::string_view name, int64_t least, int most) {
  const std::vector<int64_t>& values = node.attributes.integers(name);
  WindowAttributes::List out;
  if (values.size() > static_cast<size_t>(most))
    fail(values.size() > 64 ? ErrorCode::invalid_model : ErrorCode::unsupported, node.label(), ": ", name, " has ",
         values.size(), " entries; up to three spatial axes are supported");
  for (int64_t v : values) {
    if (v < least || v > largest)
      fail(ErrorCode::invalid_model, node.label(), ": ", name, " holds ", v, "; expected ", least, "..", largest);
    out.value[out.length++] = v;
  }
  return out;
}

}  // namespace

WindowAttributes WindowAttributes::of(const Node& node) {
  WindowAttributes w;
  w.kernel = list(node, "kernel_shape", 1, max_rank);
  w.stride = list(node, "strides", 1, max_rank);
  w.dilation = list(node, "dilations", 1, max_rank);
  w.pad = list(node, "pads", 0, 2 * max_rank);
  const std::string_view mode = node.attributes.string("auto_pad", "NOTSET");
  if (mode == "SAME_UPPER") w.auto_pad = AutoPad::same_upper;
  else if (mode == "SAME_LOWER") w.auto_pad = AutoPad::same_lower;
  else if (mode == "VALID") w.auto_pad = AutoPad::valid;
  else if (mode != "NOTSET" && !mode.empty())
    fail(ErrorCode::invalid_model, node.label(), ": auto_pad is '", mode,
         "'; expected NOTSET, SAME_UPPER, SAME_LOWER or VALID");
  w.ceil_mode = node.attributes.integer("ceil_mode", 0) != 0;
  return w;
}

AxisWindow resolve_axis(const WindowAttributes& w, int i, int rank, int64_t in, int64_t kernel) {
  AxisWindow a;
  a.kernel = kernel > 0 ? kernel : w.kernel.at(i, 1);
  a.stride = w.stride.at(i, 1), a.dilation = w.dilation.at(i, 1);
  if (w.auto_pad == AutoPad::none) a.pad_begin = w.pad.at(i, 0), a.pad_end = w.pad.at(i + rank, 0);
  if (w.auto_pad == AutoPad::same_upper || w.auto_pad == AutoPad::same_lower) {
    a.out = (in + a.stride - 1) / a.stride;
    const int64_t total = std::max<int64_t>(0, (a.out - 1) * a.stride + a.extent() - in);
    a.pad_begin = w.auto_pad == AutoPad::same_upper ? total / 2 : total - total / 2;
    a.pad_end = total - a.pad_begin;
    return a;
  }
  const int64_t room = in + a.pad_begin + a.pad_end - a.extent();
  const bool up = w.ceil_mode && w.auto_pad == AutoPad::none;
  a.out = (up ? -floor_divide(-room, a.stride) : floor_divide(room, a.stride)) + 1;
  if (up && a.out > 1 && (a.out - 1) * a.stride >= in + a.pad_begin) --a.out;
  a.out = std::max<int64_t>(0, a.out);
  return a;
}

kernels::Window resolve_window(const WindowAttributes& w, int rank, const int64_t* in, const int64_t* kernel,
                               int64_t* pad_end) {
  kernels::Window out;
  for (int i = 0; i < rank; ++i) {
    const int at = 3 - rank + i;
    const AxisWindow a = resolve_axis(w, i, rank, in[i], kernel ? kernel[i] : 0);
    out.in[at] = in[i], out.out[at] = a.out, out.kernel[at] = a.kernel, out.stride[at] = a.stride;
    out.dilation[at] = a.dilation, out.pad[at] = a.pad_begin;
    if (pad_end) pad_end[at] = a.pad_end;
  }
  return out;
}

Dims window_dims(const InferContext& c, const WindowAttributes& w, std::span<const Dim> in,
                 std::span<const Dim> kernel) {
  const int rank = static_cast<int>(in.size());
  c.require(rank >= 1 && rank <= WindowAttributes::max_rank, "has ", rank, " spatial axes; 1 to 3 are supported");
  auto check = [&](const WindowAttributes::List& list, const char* name, int expected) {
    c.require(list.length == 0 || list.length == expected, name, " has ", list.length, " entries; expected ", expected);
  };
  check(w.kernel, "kernel_shape", rank);
  check(w.stride, "strides", rank);
  check(w.dilation, "dilations", rank);
  check(w.pad, "pads", 2 * rank);
  Dims out;
  constexpr int64_t most_taps = int64_t{1} << 48;  // products of taps and channels stay within 64 bits
  int64_t taps = 1;
  for (int i = 0; i < rank; ++i) {
    const Dim k = kernel.empty() ? Dim(w.kernel.at(i, 1)) : kernel[i];
    c.require(!k.known() || (k.size >= 1 && k.size <= largest), "the kernel has size ", k.size, " along spatial axis ",
              i);
    c.require(!k.known() || k.size <= most_taps / taps, "the kernel has more than ", most_taps, " taps");
    if (k.known()) taps *= k.size;
    c.require(!k.known() || w.kernel.length == 0 || w.kernel.value[i] == k.size, "kernel_shape says ",
              w.kernel.value[i], " but the weight has ", k.size, " along spatial axis ", i);
    const bool same = w.auto_pad == AutoPad::same_upper || w.auto_pad == AutoPad::same_lower;
    if (!k.known() && !same) {
      out.emplace_back();
      continue;
    }
    const int64_t size = in[i].known() ? in[i].size : 1;
    const AxisWindow a = resolve_axis(w, i, rank, size, k.known() ? k.size : 1);
    if (in[i].known()) {
      c.require(in[i].size == 0 || in[i].size + a.pad_begin + a.pad_end >= a.extent(), "a window of ", a.extent(),
                " does not fit spatial axis ", i, " of size ", in[i].size, " with padding ", a.pad_begin, "+",
                a.pad_end);
      out.emplace_back(a.out);
    } else if (a.stride == 1 && (same || a.pad_begin + a.pad_end == a.extent() - 1)) {
      out.push_back(in[i]);  // the size is kept, known or not
    } else {
      out.emplace_back();
    }
  }
  return out;
}

namespace {

// One row of the matrix: one channel, one tap, positions [begin, end) walked line by line.
template <class T>
void unfold_row(const kernels::Window& w, const T* plane, const int64_t (&tap)[3], int64_t begin, int64_t end, T fill,
                T* y) {
  const int64_t width = w.out[2];
  int64_t line = begin / width, column = begin % width;
  for (int64_t at = begin; at < end; ++line, column = 0) {
    const int64_t stop = std::min(end - at, width - column) + column;
    const int64_t h = line % w.out[1] * w.stride[1] + tap[1] * w.dilation[1] - w.pad[1];
    const int64_t d = line / w.out[1] * w.stride[0] + tap[0] * w.dilation[0] - w.pad[0];
    const bool inside = h >= 0 && h < w.in[1] && d >= 0 && d < w.in[0];
    const T* source = plane + (inside ? (d * w.in[1] + h) * w.in[2] : 0);
    const int64_t shift = tap[2] * w.dilation[2] - w.pad[2];
    if (inside && w.stride[2] == 1) {
      const int64_t first = std::clamp(-shift, column, stop), last = std::clamp(w.in[2] - shift, first, stop);
      std::fill(y, y + (first - column), fill);
      std::copy(source + first + shift, source + last + shift, y + (first - column));
      std::fill(y + (last - column), y + (stop - column), fill);
    } else {
      for (int64_t i = column; i < stop; ++i) {
        const int64_t x = i * w.stride[2] + shift;
        y[i - column] = inside && x >= 0 && x < w.in[2] ? source[x] : fill;
      }
    }
    y += stop - column;
    at += stop - column;
  }
}

template <class T>
void unfold_as(const kernels::Window& w, int64_t channels, const void* x, int64_t begin, int64_t end, const void* fill,
               void* columns) {
  T value;
  std::memcpy(&value, fill, sizeof(T));
  T* y = static_cast<T*>(columns);
  for (int64_t c = 0; c < channels; ++c) {
    const T* plane = static_cast<const T*>(x) + c * volume(w.in);
    int64_t tap[3];
    for (tap[0] = 0; tap[0] < w.kernel[0]; ++tap[0])
      for (tap[1] = 0; tap[1] < w.kernel[1]; ++tap[1])
        for (tap[2] = 0; tap[2] < w.kernel[2]; ++tap[2], y += end - begin)
          unfold_row<T>(w, plane, tap, begin, end, value, y);
  }
}

}  // namespace

void unfold(const kernels::Window& w, int element_bytes, int64_t channels, const void* x, int64_t begin, int64_t end,
            const void* fill, void* columns) {
  if (element_bytes == 1) unfold_as<uint8_t>(w, channels, x, begin, end, fill, columns);
  else if (element_bytes == 4) unfold_as<float>(w, channels, x, begin, end, fill, columns);
  else unfold_as<double>(w, channels, x, begin, end, fill, columns);
}

}  // namespace outpost
