// Sliding windows: the attributes that convolutions and poolings share, and the sizes that follow from them.
// Up to three spatial axes; kernels see three, 1-D and 2-D with leading axes of size one.
// Source: ONNX Conv-22, ConvTranspose-22, MaxPool-22.
#pragma once
#include "kernels/conv.h"
#include "ops/op.h"

namespace outpost {

enum class AutoPad : uint8_t { none, same_upper, same_lower, valid };

// As written in a node; an attribute that is absent has length 0.
struct WindowAttributes {
  static constexpr int max_rank = 3;
  struct List {
    int length = 0;
    int64_t value[2 * max_rank] = {};
    int64_t at(int i, int64_t fallback) const noexcept { return i < length ? value[i] : fallback; }
  };
  List kernel, stride, dilation, pad;  // pad: all leading ones, then all trailing ones
  AutoPad auto_pad = AutoPad::none;
  bool ceil_mode = false;

  // Throws Error(invalid_model) naming the node when a list is too long, a kernel, stride or dilation is below 1, …
  static WindowAttributes of(const Node& node);
};

// One axis, resolved.
struct AxisWindow {
  int64_t kernel = 1, stride = 1, dilation = 1, pad_begin = 0, pad_end = 0;
  int64_t out = 1;
  int64_t extent() const noexcept { return (kernel - 1) * dilation + 1; }
};

// Axis i of `rank`, for an input of size `in`. `kernel` > 0 overrides the attribute (the weight's shape). With
// ceil_mode (poolings), a last window that would start in the trailing pad is dropped.
AxisWindow resolve_axis(const WindowAttributes&, int i, int rank, int64_t in, int64_t kernel = 0);

// All axes of `rank` as the kernels want them. `kernel` may be null. Fills pad_end where given (3 entries).
kernels::Window resolve_window(const WindowAttributes&, int rank, const int64_t* in, const int64_t* kernel,
                               int64_t* pad_end = nullptr);

// Shape rule: the spatial dims that windows over `in` (spatial axes only) give. Checks what is known.
Dims window_dims(const InferContext&, const WindowAttributes&, std::span<const Dim> in, std::span<const Dim> kernel);

// Rows of the matrix that turns a convolution into a product: column (c, k) x position, for positions [begin, end) of
// the output and `channels` input planes. Outside the input it holds `fill` (element_bytes of it).
// Taps outside are those before 0 or from window.in on.
void unfold(const kernels::Window&, int element_bytes, int64_t channels, const void* x, int64_t begin, int64_t end,
            const void* fill, void* columns);

inline int64_t volume(const int64_t (&d)[3]) noexcept { return d[0] * d[1] * d[2]; }

}  // namespace outpost
