// The families behind detect.h, a pair of functions each.
#pragma once
#include "detect.h"

namespace outpost::cli {

bool is_yunet(const Outputs&, const Frame&);
std::vector<Detection> decode_yunet(const Outputs&, const Frame&);
bool is_ultraface(const Outputs&, const Frame&);
std::vector<Detection> decode_ultraface(const Outputs&, const Frame&);
bool is_fastestdet(const Outputs&, const Frame&);
std::vector<Detection> decode_fastestdet(const Outputs&, const Frame&);
bool is_yolox(const Outputs&, const Frame&);
std::vector<Detection> decode_yolox(const Outputs&, const Frame&);
bool is_yolov5(const Outputs&, const Frame&);
std::vector<Detection> decode_yolov5(const Outputs&, const Frame&);
bool is_yolov8(const Outputs&, const Frame&);
std::vector<Detection> decode_yolov8(const Outputs&, const Frame&);

}  // namespace outpost::cli
