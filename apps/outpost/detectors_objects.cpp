// Objects: FastestDet and the YOLO families.
// Sources: github.com/dog-qiuqiu/FastestDet (utils/tool.py), github.com/Megvii-BaseDetection/YOLOX (demo_utils.py),
// docs.ultralytics.com (YOLOv8's output).
#include <algorithm>
#include <cmath>

#include "base/text.h"
#include "detectors.h"

namespace outpost::cli {
namespace {

float sigmoid(float x) { return 1 / (1 + std::exp(-x)); }

bool one_tensor(const Outputs& o, int rank) {
  return o.size() == 1 && o.datum(0).kind() == Datum::Kind::tensor && o[0].dtype() == DType::f32 && o[0].rank() == rank && o[0].shape()[0] == 1;
}

// The largest of `count` values `step` apart.
struct Best {
  int index;
  float value;
};
Best best(const float* values, int64_t count, int64_t step) {
  Best b{0, values[0]};
  for (int64_t i = 1; i < count; ++i)
    if (values[i * step] > b.value) b = {static_cast<int>(i), values[i * step]};
  return b;
}

Detection centred(float x, float y, float w, float h, float score, int label) { return {x - w / 2, y - h / 2, x + w / 2, y + h / 2, score, label}; }

int64_t yolox_cells(const Frame& f) {
  int64_t n = 0;
  for (int s : {8, 16, 32}) n += int64_t{f.width / s} * (f.height / s);
  return n;
}

// Centres in pixels reach far into the picture; offsets within a cell do not.
bool in_pixels(const Tensor& t, int64_t count, int64_t step, const Frame& f) {
  const float* v = t.data<float>();
  float most = 0;
  for (int64_t i = 0; i < count; ++i) most = std::max(most, v[i * step]);
  return most > static_cast<float>(f.width) / 2;
}

void check_rank(const Outputs& o, int rank, int64_t least_channels, int axis, std::string_view family) {
  if (!one_tensor(o, rank) || o[0].shape()[axis] < least_channels)
    fail(ErrorCode::invalid_data, "the outputs are not those of ", family, ": ", o.size(), " of them, the first ", to_string(o[0].shape()));
}

}  // namespace

bool is_fastestdet(const Outputs& o, const Frame& f) {
  return one_tensor(o, 4) && o[0].shape()[1] > 5 && o[0].shape()[2] == f.height / 16 && o[0].shape()[3] == f.width / 16;
}

std::vector<Detection> decode_fastestdet(const Outputs& o, const Frame& f) {
  check_rank(o, 4, 6, 1, "FastestDet");
  const Tensor& t = o[0];
  const int64_t classes = t.shape()[1] - 5, h = t.shape()[2], w = t.shape()[3], plane = h * w;
  std::vector<Detection> all;
  for (int64_t i = 0; i < plane; ++i) {
    const float* v = t.data<float>() + i;
    const Best b = best(v + 5 * plane, classes, plane);
    const float score = std::pow(v[0], 0.6f) * std::pow(b.value, 0.4f);
    if (!(score >= f.least_score)) continue;
    const float x = (static_cast<float>(i % w) + std::tanh(v[plane])) / static_cast<float>(w), y = (static_cast<float>(i / w) + std::tanh(v[2 * plane])) / static_cast<float>(h);
    const auto width = static_cast<float>(f.width), height = static_cast<float>(f.height);
    all.push_back(centred(x * width, y * height, sigmoid(v[3 * plane]) * width, sigmoid(v[4 * plane]) * height, score, b.index));
  }
  return all;
}

bool is_yolox(const Outputs& o, const Frame& f) {
  return one_tensor(o, 3) && o[0].shape()[2] > 5 && o[0].shape()[1] == yolox_cells(f) && !in_pixels(o[0], o[0].shape()[1], o[0].shape()[2], f);
}

std::vector<Detection> decode_yolox(const Outputs& o, const Frame& f) {
  check_rank(o, 3, 6, 2, "YOLOX");
  const Tensor& t = o[0];
  if (t.shape()[1] != yolox_cells(f)) fail(ErrorCode::invalid_data, t.shape()[1], " cells; a picture of ", f.width, "x", f.height, " has ", yolox_cells(f));
  const int64_t row = t.shape()[2];
  const float* v = t.data<float>();
  std::vector<Detection> all;
  for (int stride : {8, 16, 32})
    for (int y = 0; y < f.height / stride; ++y)
      for (int x = 0; x < f.width / stride; ++x, v += row) {
        const Best b = best(v + 5, row - 5, 1);
        const float score = v[4] * b.value, s = static_cast<float>(stride);
        if (score >= f.least_score)
          all.push_back(centred((v[0] + static_cast<float>(x)) * s, (v[1] + static_cast<float>(y)) * s, std::exp(v[2]) * s, std::exp(v[3]) * s, score, b.index));
      }
  return all;
}

bool is_yolov5(const Outputs& o, const Frame& f) {
  return one_tensor(o, 3) && o[0].shape()[2] > 5 && o[0].shape()[1] > o[0].shape()[2] && in_pixels(o[0], o[0].shape()[1], o[0].shape()[2], f);
}

std::vector<Detection> decode_yolov5(const Outputs& o, const Frame& f) {
  check_rank(o, 3, 6, 2, "YOLOv5");
  const int64_t row = o[0].shape()[2];
  std::vector<Detection> all;
  for (int64_t i = 0; i < o[0].shape()[1]; ++i) {
    const float* v = o[0].data<float>() + i * row;
    const Best b = best(v + 5, row - 5, 1);
    if (const float score = v[4] * b.value; score >= f.least_score) all.push_back(centred(v[0], v[1], v[2], v[3], score, b.index));
  }
  return all;
}

bool is_yolov8(const Outputs& o, const Frame&) { return one_tensor(o, 3) && o[0].shape()[1] > 4 && o[0].shape()[2] > o[0].shape()[1]; }

std::vector<Detection> decode_yolov8(const Outputs& o, const Frame& f) {
  check_rank(o, 3, 5, 1, "YOLOv8");
  const int64_t classes = o[0].shape()[1] - 4, n = o[0].shape()[2];
  std::vector<Detection> all;
  for (int64_t i = 0; i < n; ++i) {
    const float* v = o[0].data<float>() + i;
    const Best b = best(v + 4 * n, classes, n);
    if (b.value >= f.least_score) all.push_back(centred(v[0], v[n], v[2 * n], v[3 * n], b.value, b.index));
  }
  return all;
}

}  // namespace outpost::cli
