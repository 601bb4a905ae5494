// Shapes, tensors and datums: memory, limits and the messages of misuse.
#include "outpost/tensor.h"

#include <gtest/gtest.h>

#include <cstring>

namespace outpost {
namespace {

TEST(Shape, grows_past_the_inline_axes_and_back) {
  Shape s;
  for (int i = 1; i <= 20; ++i) s.push_back(i);
  EXPECT_EQ(s.rank(), 20);
  s.insert(1, 100);
  s.erase(0);
  EXPECT_EQ(s[0], 100);
  EXPECT_EQ(s.back(), 20);
  Shape copy = s, moved = std::move(s);
  EXPECT_EQ(copy, moved);
  EXPECT_EQ(s.rank(), 0);
  Shape small{1, 2};
  moved = small;
  EXPECT_EQ(moved, (Shape{1, 2}));
  small = std::move(copy);
  EXPECT_EQ(small.rank(), 20);
  small.resize(2);
  EXPECT_EQ(to_string(small), "[100,2]");
  EXPECT_THROW(small.resize(65), Error);
}

TEST(Shape, counts_and_limits) {
  EXPECT_EQ(Shape{}.count(), 1);
  EXPECT_EQ((Shape{2, 0, 3}.count()), 0);
  EXPECT_EQ((Shape{2, 3, 4}.count(1, 3)), 12);
  const int64_t big = int64_t(1) << 40;
  EXPECT_THROW(checked_count(Shape{big, big}), Error);
  EXPECT_THROW(checked_count(Shape{0, big, big}), Error);
  EXPECT_THROW(checked_count(Shape{-1}), Error);
  EXPECT_EQ(checked_count(Shape{big, 0}), 0);
}

TEST(DTypes, names_go_both_ways) {
  for (int i = 1; i <= 26; ++i) EXPECT_EQ(dtype_from_name(name(static_cast<DType>(i))), static_cast<DType>(i));
  EXPECT_EQ(dtype_from_name("float32"), DType::f32);
  EXPECT_EQ(dtype_from_name("FLOAT16"), DType::f16);
  EXPECT_EQ(dtype_from_name("no"), DType::undefined);
  EXPECT_EQ(bytes_for(DType::i4, 5), 3u);
  EXPECT_EQ(bytes_for(DType::u2, 5), 2u);
  EXPECT_THROW(bytes_for(DType::complex128, int64_t(1) << 60), Error);
}

TEST(Tensor, owns_aligned_memory) {
  Tensor t(DType::f32, {3, 5});
  EXPECT_EQ(reinterpret_cast<uintptr_t>(t.raw()) % 64, 0u);
  EXPECT_EQ(t.bytes(), 60u);
  EXPECT_EQ(Tensor(DType::string, {2}).data<std::string>()[1], "");
  EXPECT_NE(Tensor(DType::f32, {0}).raw(), nullptr);
  EXPECT_THROW(Tensor(DType::f32, {int64_t(1) << 50}), Error);
  EXPECT_THROW(t.data<double>(), Error);
  EXPECT_THROW(t.reshaped({4}), Error);
  EXPECT_EQ(t.reshaped({15}).raw(), t.raw());
}

TEST(Tensor, strided_views_become_contiguous) {
  float values[] = {0, 1, 2, 3, 4, 5};
  auto transposed = Tensor::strided(nullptr, values, DType::f32, {3, 2}, {1, 3});
  EXPECT_FALSE(transposed.contiguous());
  auto dense = transposed.to_contiguous();
  const float expected[] = {0, 3, 1, 4, 2, 5};
  EXPECT_EQ(std::memcmp(dense.raw(), expected, sizeof expected), 0);
  auto reversed = Tensor::strided(nullptr, values + 5, DType::f32, {6}, {-1}).clone();
  EXPECT_EQ(reversed.data<float>()[0], 5);
  EXPECT_TRUE(Tensor::strided(nullptr, values, DType::f32, {2, 1, 3}, {3, 77, 1}).contiguous());
  EXPECT_THROW(Tensor::strided(nullptr, values, DType::i4, {2, 2}, {1, 2}), Error);
}

TEST(Tensor, strings_are_copied) {
  std::vector<std::string> words{"a", "long enough to leave the small buffer", "c"};
  auto t = Tensor::of(words, {3});
  auto copy = t.clone();
  copy.data<std::string>()[0] = "changed";
  EXPECT_EQ(t.data<std::string>()[0], "a");
  EXPECT_EQ(copy.data<std::string>()[1], words[1]);
}

TEST(Datum, holds_one_of_three_kinds) {
  EXPECT_FALSE(Datum().has_value());
  auto sequence = Datum::sequence({Tensor::scalar(1.f), Tensor::scalar(2.f)});
  EXPECT_EQ(sequence.items().size(), 2u);
  EXPECT_THROW(sequence.tensor(), Error);
  auto map = Datum::map(Tensor::of({int64_t(3)}), {sequence});
  EXPECT_EQ(map.keys().data<int64_t>()[0], 3);
  EXPECT_EQ(map.items()[0].items().size(), 2u);
  EXPECT_THROW(Datum::map(Tensor::of({int64_t(3)}), {}), Error);
}

}  // namespace
}  // namespace outpost
