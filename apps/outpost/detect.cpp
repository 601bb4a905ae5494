// The list of detectors, suppression, labels.
#include "detect.h"

#include <algorithm>

#include "base/mapped_file.h"
#include "base/text.h"
#include "detectors.h"

namespace outpost::cli {
namespace {

ImageSpec picture(double scale, Color color, Fit fit, float mean = 0, float deviation = 1) {
  ImageSpec s;
  s.scale = scale;
  s.color = color;
  s.fit = fit;
  s.mean = {mean, mean, mean};
  s.std = {deviation, deviation, deviation};
  return s;
}

float overlap(const Detection& a, const Detection& b) {
  const float w = std::min(a.right, b.right) - std::max(a.left, b.left), h = std::min(a.bottom, b.bottom) - std::max(a.top, b.top);
  if (w <= 0 || h <= 0) return 0;
  const float both = w * h;
  return both / ((a.right - a.left) * (a.bottom - a.top) + (b.right - b.left) * (b.bottom - b.top) - both);
}

}  // namespace

const std::vector<Detector>& all_detectors() {
  static const std::vector<Detector> list = {
      {"yunet", "YuNet faces: cls/obj/bbox/kps at strides 8, 16, 32", is_yunet, decode_yunet, picture(1, Color::bgr, Fit::corner), 0.6, 0.3, true},
      {"ultraface", "UltraFace: scores and boxes, decoded or as raw regressions", is_ultraface, decode_ultraface,
       picture(1, Color::rgb, Fit::stretch, 127, 128), 0.7, 0.3, true},
      {"fastestdet", "FastestDet: one (1, 5 + classes, h, w) map", is_fastestdet, decode_fastestdet, picture(1 / 255.0, Color::bgr, Fit::stretch), 0.5, 0.45},
      {"yolox", "YOLOX: (1, n, 5 + classes) before grids and strides", is_yolox, decode_yolox, picture(1, Color::bgr, Fit::corner), 0.3, 0.45},
      {"yolov5", "YOLOv5, v7: (1, n, 5 + classes) in pixels", is_yolov5, decode_yolov5, picture(1 / 255.0, Color::rgb, Fit::letterbox), 0.25, 0.45},
      {"yolov8", "YOLOv8, v9, v11: (1, 4 + classes, n) in pixels", is_yolov8, decode_yolov8, picture(1 / 255.0, Color::rgb, Fit::letterbox), 0.25, 0.7},
  };
  return list;
}

const Detector& find_detector(const std::string& name) {
  std::string known;
  for (const Detector& d : all_detectors()) {
    if (d.name == name) return d;
    known += text(known.empty() ? "" : ", ", d.name);
  }
  fail(ErrorCode::not_found, "there is no detector '", name, "'; there are ", known);
}

const Detector* guess_detector(const Outputs& outputs, const Frame& frame) {
  for (const Detector& d : all_detectors())
    if (d.recognises(outputs, frame)) return &d;
  return nullptr;
}

// Names tell families with several outputs apart; one output is told by its shape.
const Detector* guess_detector(const Model& model) {
  const auto& outputs = model.outputs();
  auto has = [&](std::string_view name) { return std::any_of(outputs.begin(), outputs.end(), [&](const ValueInfo& v) { return v.name == name; }); };
  if (has("cls_8") && has("kps_8")) return &find_detector("yunet");
  if (has("scores") && has("boxes")) return &find_detector("ultraface");
  if (outputs.size() != 1) return nullptr;
  const auto& shape = outputs[0].type.shape;
  if (shape.size() == 4 && shape[1].size > 5 && shape[2].size == shape[3].size && shape[2].size >= 8) return &find_detector("fastestdet");
  if (shape.size() != 3) return nullptr;
  if (shape[2].size > 5 && shape[1].size > shape[2].size) return &find_detector("yolox");
  if (shape[1].size > 4 && shape[2].size > shape[1].size) return &find_detector("yolov8");
  return nullptr;
}

std::vector<Detection> suppress(std::vector<Detection> all, double iou, size_t most) {
  std::stable_sort(all.begin(), all.end(), [](const Detection& a, const Detection& b) { return a.score > b.score; });
  std::vector<Detection> kept;
  for (Detection& d : all) {
    if (kept.size() == most) break;
    const bool falls = std::any_of(kept.begin(), kept.end(), [&](const Detection& k) { return k.label == d.label && overlap(k, d) > iou; });
    if (!falls) kept.push_back(std::move(d));
  }
  return kept;
}

void place(std::vector<Detection>& detections, const Placement& p, int width, int height) {
  auto x = [&](float v) { return std::clamp(static_cast<float>(v * p.scale_x + p.offset_x), 0.f, static_cast<float>(width)); };
  auto y = [&](float v) { return std::clamp(static_cast<float>(v * p.scale_y + p.offset_y), 0.f, static_cast<float>(height)); };
  for (Detection& d : detections) {
    d.left = x(d.left), d.right = x(d.right), d.top = y(d.top), d.bottom = y(d.bottom);
    for (Point& point : d.points) point = {x(point.x), y(point.y)};
  }
  std::erase_if(detections, [](const Detection& d) { return !(d.right > d.left && d.bottom > d.top); });
}

const std::vector<std::string>& coco_labels() {
  static const std::vector<std::string> names = {
      "person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat", "traffic light", "fire hydrant",
      "stop sign", "parking meter", "bench", "bird", "cat", "dog", "horse", "sheep", "cow", "elephant", "bear", "zebra", "giraffe",
      "backpack", "umbrella", "handbag", "tie", "suitcase", "frisbee", "skis", "snowboard", "sports ball", "kite", "baseball bat",
      "baseball glove", "skateboard", "surfboard", "tennis racket", "bottle", "wine glass", "cup", "fork", "knife", "spoon", "bowl",
      "banana", "apple", "sandwich", "orange", "broccoli", "carrot", "hot dog", "pizza", "donut", "cake", "chair", "couch",
      "potted plant", "bed", "dining table", "toilet", "tv", "laptop", "mouse", "remote", "keyboard", "cell phone", "microwave",
      "oven", "toaster", "sink", "refrigerator", "book", "clock", "vase", "scissors", "teddy bear", "hair drier", "toothbrush"};
  return names;
}

std::vector<std::string> load_labels(const std::string& name) {
  if (name == "coco") return coco_labels();
  const auto file = MappedFile::open(name);
  std::vector<std::string> labels;
  for (std::string_view rest = file->text(); !rest.empty();) {
    const size_t end = rest.find('\n');
    std::string_view line = rest.substr(0, end);
    if (line.ends_with('\r')) line.remove_suffix(1);
    labels.emplace_back(line);
    rest = end == rest.npos ? std::string_view() : rest.substr(end + 1);
  }
  return labels;
}

}  // namespace outpost::cli
