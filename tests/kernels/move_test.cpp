// Transpositions and strided copies against index arithmetic, for every element width.
#include "kernels/kernels_check.h"

#include <cstring>

namespace outpost::kernels {
namespace {

std::vector<uint8_t> numbered(int64_t count, int width) {
  std::vector<uint8_t> bytes(count * width);
  for (int64_t i = 0; i < count; ++i)
    for (int b = 0; b < width; ++b) bytes[i * width + b] = uint8_t((i * 2654435761u + b * 40503u) >> 11);
  return bytes;
}

TEST(Transpose, MovesEveryElement) {
  for (const Kernels* table : all_tables())
    for (int width : {1, 2, 4, 8, 16})
      for (int64_t rows : {0, 1, 3, 8, 16, 17, 67, 130})
        for (int64_t columns : {0, 1, 2, 8, 15, 16, 33, 70, 129}) {
          const int64_t x_row = columns + 3, y_row = rows + 2;
          const std::vector<uint8_t> x = numbered(rows * x_row, width);
          std::vector<uint8_t> y(columns * y_row * width, 0xee);
          table->transpose(width, x.data(), x_row, y.data(), y_row, rows, columns);
          for (int64_t j = 0; j < columns; ++j)
            for (int64_t i = 0; i < y_row; ++i)
              for (int b = 0; b < width; ++b) {
                const uint8_t want = i < rows ? x[(i * x_row + j) * width + b] : 0xee;
                ASSERT_EQ(y[(j * y_row + i) * width + b], want)
                    << table->isa << " " << width << " " << rows << "x" << columns;
              }
        }
}

void check_view(const std::vector<int64_t>& shape, const std::vector<int64_t>& strides, int64_t origin,
                int64_t extent) {
  int64_t count = 1;
  for (int64_t s : shape) count *= s;
  for (const Kernels* table : all_tables())
    for (int width : {1, 2, 4, 8, 16}) {
      const std::vector<uint8_t> x = numbered(extent, width);
      std::vector<uint8_t> y((count + 1) * width, 0xee);
      table->gather_strided(width, int(shape.size()), shape.data(), strides.data(), x.data() + origin * width,
                            y.data());
      for (int64_t i = 0; i < count; ++i) {
        int64_t rest = i, at = origin;
        for (size_t axis = shape.size(); axis-- > 0; rest /= shape[axis]) at += rest % shape[axis] * strides[axis];
        ASSERT_EQ(std::memcmp(&y[i * width], &x[at * width], width), 0)
            << table->isa << " width " << width << " at " << i;
      }
      for (int b = 0; b < width; ++b) ASSERT_EQ(y[count * width + b], 0xee);
    }
}

TEST(GatherStrided, CopiesAnyView) {
  check_view({}, {}, 0, 1);
  check_view({5}, {1}, 0, 5);
  check_view({7}, {-1}, 6, 7);
  check_view({9}, {0}, 0, 1);
  check_view({4, 0, 3}, {1, 1, 1}, 0, 20);
  check_view({20, 30}, {30, 1}, 0, 600);
  check_view({30, 20}, {1, 30}, 0, 600);
  check_view({3, 40, 50}, {1, 150, 3}, 0, 6000);
  check_view({40, 50, 3}, {50, 1, 2000}, 0, 6000);
  check_view({2, 12, 17, 16}, {3264, 16, 192, 1}, 0, 6528);
  check_view({2, 12, 16, 17}, {3264, 16, 1, 192}, 0, 6528);
  check_view({17, 2, 16, 12}, {192, 3264, 1, 16}, 0, 6528);
  check_view({5, 1, 6, 4}, {0, 99, 4, 1}, 0, 24);
  check_view({5, 6, 4}, {24, 4, -1}, 3, 120);
  check_view({6, 5, 7}, {2, 24, -3}, 18, 150);
  check_view({2, 2, 2, 2, 2, 2, 2}, {1, 2, 4, 8, 16, 32, 64}, 0, 128);
}

}  // namespace
}  // namespace outpost::kernels
