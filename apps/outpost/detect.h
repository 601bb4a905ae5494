// Detectors: what their raw outputs mean. Each family is one function that turns outputs into boxes in the model's
// picture, a test whether outputs look like its own, and how its pictures are prepared when nobody says otherwise.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "preprocess.h"

namespace outpost::cli {

struct Point {
  float x, y;
};

struct Detection {
  float left, top, right, bottom;
  float score;
  int label = 0;
  std::vector<Point> points = {};  // landmarks
};

// The model's picture and what to keep.
struct Frame {
  int width, height;
  float least_score;
};

struct Detector {
  std::string_view name, doc;
  bool (*recognises)(const Outputs& outputs, const Frame& frame);
  std::vector<Detection> (*decode)(const Outputs& outputs, const Frame& frame);
  ImageSpec image;                  // of the family's published models
  double score = 0.3, iou = 0.45;   // defaults of --score and --iou
  bool faces = false;               // one class: "face"
};

const std::vector<Detector>& all_detectors();
// By name, or (empty) by the outputs' names and shapes. Throws Error(not_found).
const Detector& find_detector(const std::string& name);
const Detector* guess_detector(const Outputs& outputs, const Frame& frame);
// The same before a run, from what the model declares: only its picture defaults can be asked for then.
const Detector* guess_detector(const Model& model);

// Greedy: the best box of a class stands, those that overlap it by more than `iou` fall. At most `most` are kept.
std::vector<Detection> suppress(std::vector<Detection> detections, double iou, size_t most = 300);
// From the model's picture to the photograph, clipped to it.
void place(std::vector<Detection>& detections, const Placement& placement, int width, int height);

const std::vector<std::string>& coco_labels();
// "coco", or a file with one name a line.
std::vector<std::string> load_labels(const std::string& name);

}  // namespace outpost::cli
