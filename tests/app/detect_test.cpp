// Detectors: each family's decoding on outputs made by hand, suppression, placement.
#include "detect.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "graph/graph.h"
#include "ops/op.h"

namespace outpost::cli {
namespace {

// Outputs with these names and values: those of a model of Identity nodes.
Outputs outputs_of(const std::vector<std::pair<std::string, Tensor>>& values) {
  auto graph = std::make_shared<Graph>();
  Builder b(*graph, nullptr);
  std::vector<NamedDatum> inputs;
  std::vector<std::string> names;
  names.reserve(values.size());
  for (const auto& [name, tensor] : values) {
    Value* in = graph->add_input("in_" + name, Type::of(tensor));
    Value* out = b.emit("Identity", {in});
    graph->rename(out, name);
    graph->outputs.push_back(out);
    names.push_back(in->name);
    inputs.push_back({names.back(), tensor});
  }
  return Session(Model(graph), {.threads = 1}).run(inputs);
}

Tensor zeros(Shape shape) {
  Tensor t(DType::f32, shape);
  std::fill_n(t.data<float>(), t.count(), 0.f);
  return t;
}

void expect_box(const Detection& d, float left, float top, float right, float bottom) {
  EXPECT_NEAR(d.left, left, 0.01);
  EXPECT_NEAR(d.top, top, 0.01);
  EXPECT_NEAR(d.right, right, 0.01);
  EXPECT_NEAR(d.bottom, bottom, 0.01);
}

TEST(Detect, yolox) {
  Tensor t = zeros({1, 64 + 16 + 4, 7});
  float* cell = t.data<float>() + (64 + 5) * 7;  // stride 16, row 1, column 1
  cell[0] = cell[1] = 0.5f;
  cell[2] = std::log(2.f);
  cell[4] = 0.9f;
  cell[6] = 0.8f;
  const Outputs o = outputs_of({{"output", t}});
  const Frame frame{64, 64, 0.3f};
  ASSERT_EQ(guess_detector(o, frame)->name, "yolox");
  const auto found = guess_detector(o, frame)->decode(o, frame);
  ASSERT_EQ(found.size(), 1u);
  EXPECT_NEAR(found[0].score, 0.72, 1e-5);
  EXPECT_EQ(found[0].label, 1);
  expect_box(found[0], 8, 16, 40, 32);
}

TEST(Detect, yolov8_and_yolov5) {
  Tensor t = zeros({1, 6, 84});
  const float box[] = {40, 30, 20, 10, 0.1f, 0.7f};
  for (int c = 0; c < 6; ++c) t.data<float>()[c * 84 + 17] = box[c];
  const Frame frame{64, 64, 0.3f};
  const Outputs o = outputs_of({{"output0", t}});
  ASSERT_EQ(guess_detector(o, frame)->name, "yolov8");
  const auto found = guess_detector(o, frame)->decode(o, frame);
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].label, 1);
  expect_box(found[0], 30, 25, 50, 35);

  Tensor rows = zeros({1, 84, 7});
  const float row[] = {40, 30, 20, 10, 0.9f, 0.7f, 0.1f};
  std::copy(std::begin(row), std::end(row), rows.data<float>() + 7 * 3);
  const Outputs v5 = outputs_of({{"output0", rows}});
  ASSERT_EQ(guess_detector(v5, frame)->name, "yolov5");
  expect_box(guess_detector(v5, frame)->decode(v5, frame).at(0), 30, 25, 50, 35);
}

TEST(Detect, fastestdet) {
  Tensor t = zeros({1, 8, 4, 4});
  auto at = [&](int c) -> float& { return t.data<float>()[c * 16 + 4 * 2 + 1]; };
  at(0) = 1;
  at(7) = 1;
  const Frame frame{64, 64, 0.5f};
  const Outputs o = outputs_of({{"758", t}});
  ASSERT_EQ(guess_detector(o, frame)->name, "fastestdet");
  const auto found = guess_detector(o, frame)->decode(o, frame);
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].label, 2);
  expect_box(found[0], 0, 16, 32, 48);
}

TEST(Detect, ultraface_decoded_and_raw) {
  constexpr int64_t n = 40 * 30 * 3 + 20 * 15 * 2 + 10 * 8 * 2 + 5 * 4 * 3;
  Tensor scores = zeros({1, n, 2}), boxes = zeros({1, n, 4});
  scores.data<float>()[2 * 7 + 1] = 0.95f;
  const Frame frame{320, 240, 0.7f};
  const Outputs raw = outputs_of({{"scores", scores}, {"boxes", boxes}});  // regressions of 0: the prior itself
  auto found = find_detector("ultraface").decode(raw, frame);
  ASSERT_EQ(found.size(), 1u);
  expect_box(found[0], 20 - 8, 4 - 8, 20 + 8, 4 + 8);  // the 8th prior: third cell, side 16
  for (int64_t i = 0; i < n; ++i) {
    const float corners[] = {0.25f, 0.5f, 0.5f, 0.75f};
    std::copy(std::begin(corners), std::end(corners), boxes.data<float>() + 4 * i);
  }
  const Outputs decoded = outputs_of({{"scores", scores}, {"boxes", boxes}});
  found = find_detector("ultraface").decode(decoded, frame);
  ASSERT_EQ(found.size(), 1u);
  expect_box(found[0], 80, 120, 160, 180);
}

TEST(Detect, yunet) {
  std::vector<std::pair<std::string, Tensor>> values;
  for (int64_t stride : {8, 16, 32}) {
    const int64_t cells = (64 / stride) * (64 / stride);
    const std::string end = std::to_string(stride);
    values.emplace_back("cls_" + end, zeros({1, cells, 1}));
    values.emplace_back("obj_" + end, zeros({1, cells, 1}));
    values.emplace_back("bbox_" + end, zeros({1, cells, 4}));
    values.emplace_back("kps_" + end, zeros({1, cells, 10}));
  }
  values[4].second.data<float>()[5] = values[5].second.data<float>()[5] = 0.81f;  // stride 16, row 1, column 1
  const Outputs o = outputs_of(values);
  const Frame frame{64, 64, 0.6f};
  ASSERT_EQ(guess_detector(o, frame)->name, "yunet");
  const auto found = guess_detector(o, frame)->decode(o, frame);
  ASSERT_EQ(found.size(), 1u);
  EXPECT_NEAR(found[0].score, 0.81, 1e-5);
  expect_box(found[0], 8, 8, 24, 24);
  ASSERT_EQ(found[0].points.size(), 5u);
  EXPECT_FLOAT_EQ(found[0].points[0].x, 16);
}

TEST(Detect, outputs_of_another_kind_are_refused) {
  const Frame frame{64, 64, 0.5f};
  const Outputs o = outputs_of({{"logits", zeros({1, 10})}});
  EXPECT_EQ(guess_detector(o, frame), nullptr);
  for (const Detector& d : all_detectors()) EXPECT_THROW(d.decode(o, frame), Error) << d.name;
  EXPECT_THROW(find_detector("nothing"), Error);
}

TEST(Detect, suppression_keeps_the_best_of_each_class) {
  const auto kept = suppress({{0, 0, 10, 10, 0.5f, 1}, {1, 1, 10, 10, 0.9f, 1}, {0, 0, 10, 10, 0.4f, 2}, {20, 20, 30, 30, 0.3f, 1}}, 0.5);
  ASSERT_EQ(kept.size(), 3u);
  EXPECT_FLOAT_EQ(kept[0].score, 0.9f);
  EXPECT_EQ(kept[1].label, 2);
  EXPECT_FLOAT_EQ(kept[2].left, 20);
}

TEST(Detect, placement_clips_and_drops_what_is_outside) {
  std::vector<Detection> d = {{-5, 10, 20, 20, 1, 0}, {100, 100, 120, 120, 1, 0}, {NAN, 0, 1, 1, 1, 0}};
  place(d, {2, 2, -10, 0}, 60, 50);
  ASSERT_EQ(d.size(), 1u);
  expect_box(d[0], 0, 20, 30, 40);
}

}  // namespace
}  // namespace outpost::cli
