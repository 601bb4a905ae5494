// Movement operators against the definition written out plainly, on shapes that take each path of the strided copy, and
// on hostile values, which must be errors.
#include <gtest/gtest.h>

#include <cstring>

#include "node_run.h"
#include "ops/movement.h"

namespace outpost {
namespace {

using test::error_of;
using test::i64;
using test::iota;
using test::list;
using test::run_node;

constexpr int64_t huge = int64_t{1} << 62, lowest = INT64_MIN, highest = INT64_MAX;

// Every element of any dtype as its index, in a way that distinguishes neighbours.
Tensor numbered(DType dtype, const Shape& shape) {
  Tensor t(dtype, shape);
  const int64_t count = shape.count();
  if (dtype == DType::string) {
    for (int64_t i = 0; i < count; ++i) t.data<std::string>()[i] = "element number " + std::to_string(i);
    return t;
  }
  auto* bytes = static_cast<unsigned char*>(t.raw());
  for (size_t i = 0; i < t.bytes(); ++i) bytes[i] = static_cast<unsigned char>(i * 37 + i / 251);
  return t;
}

int nibble(const Tensor& t, int64_t i) { return static_cast<const uint8_t*>(t.raw())[i / 2] >> (i % 2 * 4) & 15; }

bool same_element(const Tensor& a, int64_t i, const Tensor& b, int64_t j) {
  if (a.dtype() == DType::string) return a.values<std::string>()[i] == b.values<std::string>()[j];
  if (a.dtype() == DType::u4) return nibble(a, i) == nibble(b, j);
  const size_t n = static_cast<size_t>(element_bytes(a.dtype()));
  return std::memcmp(static_cast<const char*>(a.raw()) + i * n, static_cast<const char*>(b.raw()) + j * n, n) == 0;
}

void check_transpose(DType dtype, const Shape& shape, std::vector<int64_t> perm) {
  const Tensor x = numbered(dtype, shape);
  const Tensor y = run_node("Transpose", {x}, {{"perm", perm}})[0];
  const Shape strides = strides_of(shape);
  int64_t wrong = 0;
  for (int64_t i = 0; i < y.count(); ++i) {
    int64_t rest = i, from = 0;
    for (int a = y.rank() - 1; a >= 0; --a) {
      from += rest % y.shape()[a] * strides[static_cast<int>(perm[a])];
      rest /= y.shape()[a];
    }
    wrong += !same_element(y, i, x, from);
  }
  EXPECT_EQ(wrong, 0) << name(dtype) << " " << to_string(shape);
}

TEST(Movement, TransposesOfEveryElementSize) {
  for (DType dtype : {DType::u8, DType::f16, DType::f32, DType::i64, DType::complex128, DType::string, DType::u4}) {
    check_transpose(dtype, {2, 3}, {1, 0});
    check_transpose(dtype, {3, 4, 5, 6}, {0, 2, 3, 1});
    check_transpose(dtype, {3, 4, 5, 6}, {3, 1, 0, 2});
    check_transpose(dtype, {37, 3, 41}, {2, 0, 1});
  }
  check_transpose(DType::f32, {300, 301}, {1, 0});
  check_transpose(DType::f32, {2, 3, 150, 160}, {0, 2, 3, 1});
  check_transpose(DType::f32, {2, 150, 160, 3}, {0, 3, 1, 2});
  check_transpose(DType::f32, {4, 100, 8, 64}, {0, 2, 1, 3});
  check_transpose(DType::f32, {1, 0, 3}, {2, 1, 0});
  check_transpose(DType::f32, {}, {});
  check_transpose(DType::u8, {1, 70000, 1}, {2, 1, 0});
}

TEST(Movement, TransposeRefusesBadPermutations) {
  EXPECT_NE(error_of("Transpose", {iota({2, 3})}, {{"perm", std::vector<int64_t>{0, 0}}}), "");
  EXPECT_NE(error_of("Transpose", {iota({2, 3})}, {{"perm", std::vector<int64_t>{0, 2}}}), "");
  EXPECT_NE(error_of("Transpose", {iota({2, 3})}, {{"perm", std::vector<int64_t>{0}}}), "");
}

TEST(Movement, ReshapeShapes) {
  auto shape = [](Tensor x, std::vector<int64_t> s, int64_t allowzero = 0) { return run_node("Reshape", {x, i64(s)}, {{"allowzero", allowzero}})[0].shape(); };
  EXPECT_EQ(shape(iota({2, 3, 4}), {0, -1}), (Shape{2, 12}));
  EXPECT_EQ(shape(iota({0, 3, 4}), {0, -1}), (Shape{0, 12}));
  EXPECT_EQ(shape(iota({2, 0}), {0, 3, 2}, 1), (Shape{0, 3, 2}));
  EXPECT_EQ(shape(iota({}), {-1}), (Shape{1}));
  for (std::vector<int64_t> bad : {std::vector<int64_t>{-1, -1}, {5, 5}, {-2, 12}, {0, 0, 0, 0}, {7, -1}, {huge, huge}, {lowest}, {0, -1, 0, 0}})
    EXPECT_NE(error_of("Reshape", {iota({2, 3, 4}), i64(bad)}), "") << to_string(Shape(bad));
  EXPECT_NE(error_of("Reshape", {iota({2, 3}), i64(std::vector<int64_t>(100, 1))}), "");
}

TEST(Movement, SqueezeAndUnsqueezeRefuseBadAxes) {
  EXPECT_NE(error_of("Squeeze", {iota({1, 3}), i64({1})}), "");
  EXPECT_NE(error_of("Squeeze", {iota({1, 3}), i64({0, -2})}), "");
  EXPECT_NE(error_of("Squeeze", {iota({1, 3}), i64({lowest})}), "");
  EXPECT_NE(error_of("Unsqueeze", {iota({1, 3}), i64({0, 0})}), "");
  EXPECT_NE(error_of("Unsqueeze", {iota({1, 3}), i64({highest})}), "");
  EXPECT_NE(error_of("Unsqueeze", {iota({3}), i64(std::vector<int64_t>(80, 0))}), "");
}

TEST(Movement, SliceEdges) {
  auto slice = [](int64_t start, int64_t end, int64_t step) {
    return list<float>(run_node("Slice", {iota({5}), i64({start}), i64({end}), i64({0}), i64({step})})[0]);
  };
  EXPECT_EQ(slice(1, 4, 2), (std::vector<float>{1, 3}));
  EXPECT_EQ(slice(highest, lowest, -1), (std::vector<float>{4, 3, 2, 1, 0}));
  EXPECT_EQ(slice(-1, -6, -3), (std::vector<float>{4, 1}));
  EXPECT_EQ(slice(lowest, highest, highest), (std::vector<float>{0}));
  EXPECT_EQ(slice(highest, lowest, lowest), (std::vector<float>{4}));
  EXPECT_EQ(slice(4, 1, 1), (std::vector<float>{}));
  EXPECT_EQ(slice(-100, 2, 1), (std::vector<float>{0, 1}));
  EXPECT_NE(error_of("Slice", {iota({5}), i64({0}), i64({2}), i64({0}), i64({0})}), "");
  EXPECT_NE(error_of("Slice", {iota({5}), i64({0}), i64({2}), i64({1})}), "");
  EXPECT_NE(error_of("Slice", {iota({5, 5}), i64({0, 0}), i64({2, 2}), i64({1, -1})}), "");
  EXPECT_NE(error_of("Slice", {iota({5}), i64({0, 1}), i64({2})}), "");
}

TEST(Movement, BombsAreErrors) {
  const Tensor one = iota({1});
  EXPECT_NE(error_of("Expand", {one, i64({1000000000000})}), "");
  EXPECT_NE(error_of("Expand", {one, i64({huge, huge})}), "");
  EXPECT_NE(error_of("Expand", {one, i64({-1})}), "");
  EXPECT_NE(error_of("Tile", {one, i64({1000000000000})}), "");
  EXPECT_NE(error_of("Tile", {iota({4}), i64({huge})}), "");
  EXPECT_NE(error_of("Tile", {one, i64({-1})}), "");
  EXPECT_NE(error_of("Pad", {one, i64({0, 1000000000000})}), "");
  EXPECT_NE(error_of("Pad", {one, i64({highest, highest})}), "");
  EXPECT_NE(error_of("Pad", {one, i64({lowest, highest})}), "");
  EXPECT_NE(error_of("Pad", {one, i64({-1, -1})}), "");
  EXPECT_NE(error_of("CenterCropPad", {one, i64({1000000000000})}), "");
  EXPECT_NE(error_of("OneHot", {i64({0}), i64({1000000000000000}), iota({2})}), "");
  EXPECT_NE(error_of("OneHot", {i64({0}), i64({-1}), iota({2})}), "");
  EXPECT_NE(error_of("OneHot", {i64({0}), Tensor::scalar(std::numeric_limits<float>::quiet_NaN()), iota({2})}), "");
  EXPECT_NE(error_of("TopK", {iota({3}), i64({4})}, {}, 2), "");
  EXPECT_NE(error_of("TopK", {iota({3}), i64({-1})}, {}, 2), "");
  EXPECT_NE(error_of("Col2Im", {iota({1, 1, 1}), i64({huge, huge}), i64({1, 1})}), "");
  EXPECT_NE(error_of("Col2Im", {iota({1, 1, 1}), i64({0}), i64({0})}), "");
  EXPECT_NE(error_of("DepthToSpace", {iota({1, 4, 1, 1})}, {{"blocksize", huge}}), "");
  EXPECT_NE(error_of("DepthToSpace", {iota({1, 4, 1, 1})}, {{"blocksize", int64_t{0}}}), "");
}

TEST(Movement, PadModes) {
  auto pad = [](const char* mode, std::vector<int64_t> pads) { return list<float>(run_node("Pad", {iota({3}), i64(pads)}, {{"mode", std::string(mode)}})[0]); };
  EXPECT_EQ(pad("reflect", {3, 5}), (std::vector<float>{1, 2, 1, 0, 1, 2, 1, 0, 1, 2, 1}));
  EXPECT_EQ(pad("wrap", {4, 1}), (std::vector<float>{2, 0, 1, 2, 0, 1, 2, 0}));
  EXPECT_EQ(pad("edge", {2, 1}), (std::vector<float>{0, 0, 0, 1, 2, 2}));
  EXPECT_EQ(pad("constant", {-1, 2}), (std::vector<float>{1, 2, 0, 0}));
  EXPECT_EQ(pad("constant", {-5, 6}), (std::vector<float>{0, 0, 0, 0}));
  EXPECT_EQ(pad("constant", {6, -5}), (std::vector<float>{0, 0, 0, 0}));
  EXPECT_NE(error_of("Pad", {iota({0}), i64({1, 0})}, {{"mode", std::string("edge")}}), "");
  EXPECT_NE(error_of("Pad", {iota({3}), i64({1, 0})}, {{"mode", std::string("mirror")}}), "");
  EXPECT_NE(error_of("Pad", {iota({3}), i64({1, 0, 1})}), "");
}

TEST(Movement, IndicesOutsideAreErrors) {
  const Tensor x = iota({3, 2});
  for (int64_t bad : {int64_t{3}, int64_t{-4}, highest, lowest}) {
    EXPECT_NE(error_of("Gather", {x, i64({bad})}), "");
    EXPECT_NE(error_of("GatherElements", {x, Tensor::of<int64_t>(std::vector<int64_t>{0, bad}, {1, 2})}), "");
    EXPECT_NE(error_of("GatherND", {x, Tensor::of<int64_t>(std::vector<int64_t>{bad, 0}, {1, 2})}), "");
    EXPECT_NE(error_of("ScatterElements", {x, Tensor::of<int64_t>(std::vector<int64_t>{0, bad}, {1, 2}), iota({1, 2})}), "");
    EXPECT_NE(error_of("ScatterND", {x, Tensor::of<int64_t>(std::vector<int64_t>{bad, 0}, {1, 2}), iota({1})}), "");
    EXPECT_NE(error_of("ReverseSequence", {x, i64({bad == 3 ? 4 : bad, 0})}), "");
    EXPECT_NE(error_of("TensorScatter", {iota({1, 4, 2}), iota({1, 2, 2}), i64({bad})}), "");
  }
  EXPECT_NE(error_of("Gather", {iota({0, 2}), i64({0})}), "");
  EXPECT_NE(error_of("Compress", {x, Tensor::of({false, false, false, true})}, {{"axis", int64_t{0}}}), "");
  EXPECT_NE(error_of("ScatterND", {x, Tensor::of<int64_t>(std::vector<int64_t>{0, 0, 0}, {1, 3}), iota({1})}), "");
  EXPECT_NE(error_of("GatherElements", {x, Tensor::of<int64_t>(std::vector<int64_t>{0, 0, 0}, {1, 3})}), "");
  EXPECT_NE(error_of("ScatterElements", {x, i64({0}), iota({1})}), "");
}

TEST(Movement, SplitSizes) {
  EXPECT_EQ(run_node("Split", {iota({7}), {}}, {{"num_outputs", int64_t{3}}}, 3)[2].shape(), (Shape{1}));
  EXPECT_NE(error_of("Split", {iota({4}), i64({1, 2})}, {}, 2), "");
  EXPECT_NE(error_of("Split", {iota({4}), i64({-1, 5})}, {}, 2), "");
  EXPECT_NE(error_of("Split", {iota({4}), i64({highest, highest})}, {}, 2), "");
  EXPECT_NE(error_of("Split", {iota({4}), i64({4})}, {}, 2), "");
  EXPECT_NE(error_of("Split", {iota({5})}, {{"num_outputs", int64_t{4}}}, 4), "");
}

TEST(Movement, ConcatRefusesUnequalShapes) {
  EXPECT_NE(error_of("Concat", {iota({2, 3}), iota({2, 4})}, {{"axis", int64_t{0}}}), "");
  EXPECT_NE(error_of("Concat", {iota({2, 3}), iota({6})}, {{"axis", int64_t{0}}}), "");
  EXPECT_NE(error_of("Concat", {iota({2}), i64({2})}, {{"axis", int64_t{0}}}), "");
  EXPECT_NE(error_of("Concat", {iota({2}), iota({2})}, {{"axis", int64_t{1}}}), "");
}

TEST(Selection, TopKOrdersTiesAndNaN) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const Tensor x = Tensor::of({1.f, 3.f, nan, 3.f, 0.f});
  const auto y = run_node("TopK", {x, i64({4})}, {}, 2);
  EXPECT_EQ(list<int64_t>(y[1]), (std::vector<int64_t>{2, 1, 3, 0}));
  const auto low = run_node("TopK", {x, i64({3})}, {{"largest", int64_t{0}}}, 2);
  EXPECT_EQ(list<int64_t>(low[1]), (std::vector<int64_t>{4, 0, 1}));
  const Tensor many = iota({1000});
  const auto top = run_node("TopK", {many, i64({500})}, {}, 2);
  EXPECT_EQ(list<int64_t>(top[1])[499], 500);
}

TEST(Selection, ArgMaxRefusesAnEmptyAxis) {
  EXPECT_NE(error_of("ArgMax", {iota({0, 3})}), "");
  EXPECT_EQ(run_node("ArgMax", {iota({0, 3})}, {{"axis", int64_t{1}}})[0].shape(), (Shape{0, 1}));
  EXPECT_EQ(list<int64_t>(run_node("ArgMax", {iota({2, 3})}, {{"axis", int64_t{-1}}})[0]), (std::vector<int64_t>{2, 2}));
}

TEST(Selection, UniqueOfRowsAndStrings) {
  const Tensor x = Tensor::of(std::vector<float>{1, 0, 0, 1, 0, 0, 2, 3, 4}, {3, 3});
  const auto y = run_node("Unique", {x}, {{"axis", int64_t{0}}}, 4);
  EXPECT_EQ(list<float>(y[0]), (std::vector<float>{1, 0, 0, 2, 3, 4}));
  EXPECT_EQ(list<int64_t>(y[2]), (std::vector<int64_t>{0, 0, 1}));
  const auto s = run_node("Unique", {Tensor::of(std::vector<std::string>{"b", "a", "b"}, {3})}, {{"sorted", int64_t{0}}}, 4);
  EXPECT_EQ(list<std::string>(s[0]), (std::vector<std::string>{"b", "a"}));
  EXPECT_EQ(list<int64_t>(s[3]), (std::vector<int64_t>{2, 1}));
  EXPECT_EQ(run_node("Unique", {iota({0})}, {}, 4)[0].shape(), (Shape{0}));
}

TEST(SumTo, SumsWhatBroadcastingRepeats) {
  const Tensor x = iota({2, 3, 4});
  EXPECT_EQ(list<float>(run_node("SumTo", {x, i64({3, 1})}, {}, 1, "outpost")[0]), (std::vector<float>{60, 92, 124}));
  EXPECT_EQ(list<float>(run_node("SumTo", {x, i64({2, 1, 4})}, {}, 1, "outpost")[0]), (std::vector<float>{12, 15, 18, 21, 48, 51, 54, 57}));
  EXPECT_EQ(list<float>(run_node("SumTo", {x, i64({})}, {}, 1, "outpost")[0]), (std::vector<float>{276}));
  EXPECT_EQ(list<float>(run_node("SumTo", {iota({0, 2}), i64({2})}, {}, 1, "outpost")[0]), (std::vector<float>{0, 0}));
  const Tensor wide = iota({3, 1500});
  EXPECT_EQ(list<float>(run_node("SumTo", {wide, i64({1500})}, {}, 1, "outpost")[0])[1499], 1499.f * 3 + 1500 * 3);
  EXPECT_NE(error_of("SumTo", {x, i64({2})}, {}, 1, "outpost"), "");
}

}  // namespace
}  // namespace outpost
