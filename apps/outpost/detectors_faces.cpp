// Faces: YuNet and UltraFace.
// Sources: github.com/ShiqiYu/libfacedetection.train, opencv/modules/objdetect/src/face_detect.cpp (YuNet);
// github.com/Linzaer/Ultra-Light-Fast-Generic-Face-Detector-1MB (UltraFace's priors).
#include <cmath>

#include "base/text.h"
#include "detectors.h"

namespace outpost::cli {
namespace {

bool has(const Outputs& outputs, std::string_view name) {
  for (size_t i = 0; i < outputs.size(); ++i)
    if (outputs.name(i) == name) return true;
  return false;
}

// One level of YuNet's pyramid: (1, h * w, k) each.
struct Level {
  std::span<const float> score, object, box, points;
};

void decode_level(const Level& l, int stride, int columns, const Frame& frame, std::vector<Detection>& out) {
  for (size_t i = 0; i < l.score.size(); ++i) {
    const float score = std::sqrt(std::clamp(l.score[i], 0.f, 1.f) * std::clamp(l.object[i], 0.f, 1.f));
    if (!(score >= frame.least_score)) continue;
    const auto column = static_cast<float>(i % static_cast<size_t>(columns)), row = static_cast<float>(i / static_cast<size_t>(columns));
    const float s = static_cast<float>(stride), x = (column + l.box[4 * i]) * s, y = (row + l.box[4 * i + 1]) * s;
    const float w = std::exp(l.box[4 * i + 2]) * s, h = std::exp(l.box[4 * i + 3]) * s;
    Detection d{x - w / 2, y - h / 2, x + w / 2, y + h / 2, score};
    for (size_t k = 0; k < 5; ++k) d.points.push_back({(l.points[10 * i + 2 * k] + column) * s, (l.points[10 * i + 2 * k + 1] + row) * s});
    out.push_back(std::move(d));
  }
}

// UltraFace's priors as (x, y, w, h), in fractions of the picture.
std::vector<std::array<float, 4>> priors(int width, int height) {
  static const std::vector<std::vector<float>> boxes = {{10, 16, 24}, {32, 48}, {64, 96}, {128, 192, 256}};
  static const int strides[] = {8, 16, 32, 64};
  std::vector<std::array<float, 4>> all;
  for (size_t level = 0; level < boxes.size(); ++level) {
    const int stride = strides[level], columns = (width + stride - 1) / stride, rows = (height + stride - 1) / stride;
    for (int y = 0; y < rows; ++y)
      for (int x = 0; x < columns; ++x)
        for (float side : boxes[level])
          all.push_back({(static_cast<float>(x) + 0.5f) / (static_cast<float>(width) / static_cast<float>(stride)),
                         (static_cast<float>(y) + 0.5f) / (static_cast<float>(height) / static_cast<float>(stride)),
                         side / static_cast<float>(width), side / static_cast<float>(height)});
  }
  return all;
}

// Corners in fractions have right >= left nearly always; regressions do not.
bool are_corners(std::span<const float> boxes) {
  size_t ordered = 0;
  for (size_t i = 0; i + 3 < boxes.size(); i += 4) ordered += boxes[i + 2] > boxes[i] && boxes[i + 3] > boxes[i + 1];
  return ordered * 4 >= boxes.size() / 4 * 3;
}

}  // namespace

bool is_yunet(const Outputs& o, const Frame&) { return has(o, "cls_8") && has(o, "obj_8") && has(o, "bbox_8") && has(o, "kps_8"); }

std::vector<Detection> decode_yunet(const Outputs& o, const Frame& frame) {
  std::vector<Detection> all;
  for (int stride : {8, 16, 32}) {
    const Level l{o[text("cls_", stride)].values<float>(), o[text("obj_", stride)].values<float>(), o[text("bbox_", stride)].values<float>(),
                  o[text("kps_", stride)].values<float>()};
    const int columns = (frame.width + stride - 1) / stride;
    if (l.object.size() != l.score.size() || l.box.size() != 4 * l.score.size() || l.points.size() != 10 * l.score.size())
      fail(ErrorCode::invalid_data, "the outputs at stride ", stride, " are not YuNet's");
    decode_level(l, stride, columns, frame, all);
  }
  return all;
}

bool is_ultraface(const Outputs& o, const Frame&) {
  return has(o, "scores") && has(o, "boxes") && o["scores"].rank() == 3 && o["scores"].shape()[2] == 2 && o["boxes"].rank() == 3 && o["boxes"].shape()[2] == 4;
}

std::vector<Detection> decode_ultraface(const Outputs& o, const Frame& frame) {
  const auto scores = o["scores"].values<float>(), boxes = o["boxes"].values<float>();
  if (scores.size() / 2 != boxes.size() / 4) fail(ErrorCode::invalid_data, scores.size() / 2, " scores for ", boxes.size() / 4, " boxes");
  const bool corners = are_corners(boxes);
  const auto prior = corners ? std::vector<std::array<float, 4>>() : priors(frame.width, frame.height);
  if (!corners && prior.size() != boxes.size() / 4)
    fail(ErrorCode::invalid_data, boxes.size() / 4, " boxes; a picture of ", frame.width, "x", frame.height, " has ", prior.size());
  const auto w = static_cast<float>(frame.width), h = static_cast<float>(frame.height);
  std::vector<Detection> all;
  for (size_t i = 0; i < scores.size() / 2; ++i) {
    const float score = scores[2 * i + 1], *b = &boxes[4 * i];
    if (!(score >= frame.least_score)) continue;
    if (corners) {
      all.push_back({b[0] * w, b[1] * h, b[2] * w, b[3] * h, score});
      continue;
    }
    const auto& p = prior[i];
    const float x = b[0] * 0.1f * p[2] + p[0], y = b[1] * 0.1f * p[3] + p[1];
    const float bw = std::exp(b[2] * 0.2f) * p[2], bh = std::exp(b[3] * 0.2f) * p[3];
    all.push_back({(x - bw / 2) * w, (y - bh / 2) * h, (x + bw / 2) * w, (y + bh / 2) * h, score});
  }
  return all;
}

}  // namespace outpost::cli
