// Nearest: rows of the last resized axis are copied by index; a row that reads what the row before read is copied whole.
#include <algorithm>
#include <cstring>
#include <string>

#include "ops/carve.h"
#include "ops/resize/resample.h"
#include "tensor/convert.h"

namespace outpost::resize {
namespace {

class Nearest {
 public:
  Nearest(RunContext& c, const Sampling& s, const Axis* axes) : c_(c), s_(s), axes_(axes), x_(c.in(0)), rank_(x_.rank()) {
    for (int i = 0; i < rank_; ++i)
      if (changes(axes[i])) last_ = i;
  }

  void run() {
    Carve measure;
    lay_out(measure);
    Carve carve(c_.temporary(std::max<size_t>(64, measure.bytes())));
    lay_out(carve);
    for (int i = 0; i <= last_; ++i) fill(s_, axes_[i], 1, index_[i], nullptr, outside_[i]);
    for (int i = last_ + 1; i < rank_; ++i) inner_ *= axes_[i].in;
    if (x_.dtype != DType::string) store(DType::f32, &s_.extrapolation, 1, x_.dtype, blank_, 0);
    element_ = x_.dtype == DType::string ? sizeof(std::string) : bytes_for(x_.dtype, 1);
    int64_t rows = 1;
    for (int i = 0; i < last_; ++i) rows *= axes_[i].out;
    const int64_t length = (last_ >= 0 ? axes_[last_].out : 1) * inner_;
    c_.parallel_ranges(rows, std::max<int64_t>(1, 32768 / std::max<int64_t>(1, length)), [&](int64_t begin, int64_t end) {
      int64_t previous = -1;
      for (int64_t r = begin; r < end; ++r) {
        const int64_t from = source_row(r);
        if (from >= 0 && from == previous && x_.dtype != DType::string)
          std::memcpy(at(c_.out(0), r * length), at(c_.out(0), (r - 1) * length), static_cast<size_t>(length) * element_);
        else copy_row(from, r * length);
        previous = from;
      }
    });
  }

 private:
  void lay_out(Carve& carve) {
    for (int i = 0; i <= last_; ++i) {
      index_[i] = carve.take<int32_t>(axes_[i].out);
      outside_[i] = carve.take<bool>(axes_[i].out);
    }
  }
  std::byte* at(const View& v, int64_t element) const { return static_cast<std::byte*>(v.data) + static_cast<size_t>(element) * element_; }

  // Element where output row r reads; -1 when it lies outside.
  int64_t source_row(int64_t r) const {
    int64_t from = 0, stride = (last_ >= 0 ? axes_[last_].in : 1) * inner_;
    for (int i = last_ - 1; i >= 0; --i) {
      const int64_t o = r % axes_[i].out;
      if (outside_[i][o]) return -1;
      from += index_[i][o] * stride;
      stride *= axes_[i].in;
      r /= axes_[i].out;
    }
    return from;
  }

  void copy_row(int64_t from, int64_t to) {
    const int64_t outs = last_ >= 0 ? axes_[last_].out : 1;
    if (x_.dtype == DType::string) return copy_strings(from, to, outs);
    if (last_ < 0) return static_cast<void>(std::memcpy(at(c_.out(0), to), at(x_, from), static_cast<size_t>(inner_) * element_));
    if (from >= 0 && inner_ == 1 && s_.coordinates != Coordinates::tf_crop_and_resize) {
      if (element_ == 1) return pick<uint8_t>(from, to, outs);
      if (element_ == 2) return pick<uint16_t>(from, to, outs);
      if (element_ == 4) return pick<uint32_t>(from, to, outs);
      if (element_ == 8) return pick<uint64_t>(from, to, outs);
    }
    const size_t bytes = static_cast<size_t>(inner_) * element_;
    for (int64_t o = 0; o < outs; ++o) {
      std::byte* y = at(c_.out(0), to + o * inner_);
      if (from >= 0 && !outside_[last_][o]) {
        std::memcpy(y, at(x_, from + index_[last_][o] * inner_), bytes);
        continue;
      }
      for (int64_t i = 0; i < inner_; ++i) std::memcpy(y + static_cast<size_t>(i) * element_, blank_, element_);
    }
  }

  template <class E>
  void pick(int64_t from, int64_t to, int64_t outs) const {
    const E* x = reinterpret_cast<const E*>(at(x_, from));
    E* y = reinterpret_cast<E*>(at(c_.out(0), to));
    const int32_t* index = index_[last_];
    for (int64_t o = 0; o < outs; ++o) y[o] = x[index[o]];
  }

  void copy_strings(int64_t from, int64_t to, int64_t outs) const {
    auto *x = static_cast<const std::string*>(x_.data), *none = static_cast<const std::string*>(nullptr);
    auto* y = static_cast<std::string*>(c_.out(0).data);
    for (int64_t o = 0; o < outs; ++o)
      for (int64_t i = 0; i < inner_; ++i) {
        const auto* s = from < 0 || (last_ >= 0 && outside_[last_][o]) ? none : x + from + (last_ >= 0 ? index_[last_][o] : 0) * inner_ + i;
        y[to + o * inner_ + i] = s ? *s : std::string();
      }
  }

  RunContext& c_;
  const Sampling& s_;
  const Axis* axes_;
  const View& x_;
  const int rank_;
  int last_ = -1;
  int64_t inner_ = 1;
  size_t element_ = 1;
  int32_t* index_[Shape::max_rank];
  bool* outside_[Shape::max_rank];
  std::byte blank_[16] = {};
};

}  // namespace

void run_nearest(RunContext& c, const Sampling& sampling, const Axis* axes) { Nearest(c, sampling, axes).run(); }

}  // namespace outpost::resize
