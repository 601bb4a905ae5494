// Reductions, softmax and normalisations against double references: lengths around every register and block, strides,
// NaN and infinity, long sums, in place.
#include "kernels/kernels_check.h"

#include <algorithm>

namespace outpost::kernels {
namespace {

double reference(Reduce kind, const std::vector<double>& values) {
  double y = kind == Reduce::prod ? 1 : kind == Reduce::max ? -inf : kind == Reduce::min ? inf : 0;
  for (double v : values) switch (kind) {
      case Reduce::sum: y += v; break;
      case Reduce::sum_absolute: y += std::fabs(v); break;
      case Reduce::sum_square: y += v * v; break;
      case Reduce::prod: y *= v; break;
      case Reduce::max: y = std::isnan(v) || std::isnan(y) ? nan : std::max(y, v); break;
      case Reduce::min: y = std::isnan(v) || std::isnan(y) ? nan : std::min(y, v); break;
      case Reduce::count: break;
    }
  return y;
}

void check_reduction(const Kernels& table, Reduce kind, const std::vector<float>& x, int64_t rows, int64_t columns,
                     int64_t stride) {
  for (const bool along_rows : {true, false}) {
    const int64_t outputs = along_rows ? rows : columns, axis = along_rows ? columns : rows;
    std::vector<float> y(outputs + 1, 9.0f);
    (along_rows ? table.reduce_rows : table.reduce_columns)[int(kind)](x.data(), rows, columns, stride, y.data());
    EXPECT_EQ(y[outputs], 9.0f);
    for (int64_t i = 0; i < outputs; ++i) {
      std::vector<double> values(axis);
      double magnitude = 0;
      for (int64_t j = 0; j < axis; ++j) {
        values[j] = along_rows ? x[i * stride + j] : x[j * stride + i];
        magnitude += kind == Reduce::sum_square ? values[j] * values[j] : std::fabs(values[j]);
      }
      const double want = reference(kind, values);
      if (std::isnan(want)) ASSERT_TRUE(std::isnan(y[i]));
      else if (std::isinf(want)) ASSERT_EQ(y[i], want);
      else if (kind == Reduce::prod) ASSERT_NEAR(y[i], want, std::fabs(want) * 1e-7 * double(axis + 1) + 1e-40);
      else if (kind == Reduce::max || kind == Reduce::min) ASSERT_EQ(y[i], want);
      else ASSERT_NEAR(y[i], want, magnitude * 4e-7) << table.isa << int(kind) << " " << rows << "x" << columns;
    }
  }
}

TEST(Reductions, MatchDoubleReferences) {
  for (const Kernels* table : all_tables())
    for (int kind = 0; kind < int(Reduce::count); ++kind)
      for (int64_t rows : {0, 1, 2, 3, 33, 70})
        for (int64_t columns : odd_sizes())
          check_reduction(*table, Reduce(kind), random_floats(rows * (columns + 3) + 1, 1), rows, columns, columns + 3);
}

TEST(Reductions, PropagateNanAndInfinity) {
  for (const Kernels* table : all_tables())
    for (int64_t columns : {1, 5, 8, 16, 40, 100}) {
      std::vector<float> x = random_floats(3 * columns, 2);
      x[columns / 2] = nan, x[columns + columns - 1] = inf, x[2 * columns] = -inf;
      for (int kind = 0; kind < int(Reduce::count); ++kind)
        check_reduction(*table, Reduce(kind), x, 3, columns, columns);
    }
}

TEST(Reductions, StayAccurateOverLongAxes) {
  const int64_t n = 3000017;
  const std::vector<float> x = random_floats(n, 3, 0, 1);
  double want = 0;
  for (float v : x) want += v;
  for (const Kernels* table : all_tables()) {
    float rows, columns;
    table->reduce_rows[int(Reduce::sum)](x.data(), 1, n, n, &rows);
    table->reduce_columns[int(Reduce::sum)](x.data(), n, 1, 1, &columns);
    EXPECT_NEAR(rows, want, want * 2e-7);
    EXPECT_NEAR(columns, want, want * 2e-7);
  }
}

TEST(Reductions, FindFirstAndLastExtremes) {
  for (const Kernels* table : all_tables())
    for (int64_t n : {1, 2, 7, 8, 33, 100}) {
      std::vector<float> x = random_floats(2 * n, 4);
      for (float& v : x) v = std::round(v * 3);
      if (n > 8) x[n + 5] = nan, x[n + 7] = nan;
      for (const bool last : {false, true})
        for (const bool largest : {false, true}) {
          int64_t y[2];
          (largest ? table->argmax_rows : table->argmin_rows)(x.data(), 2, n, n, last, y);
          for (int64_t r = 0; r < 2; ++r) {
            int64_t want = 0;
            for (int64_t i = 1; i < n; ++i) {
              const float a = x[r * n + i], b = x[r * n + want];
              const bool better = std::isnan(b) ? false : std::isnan(a) || (largest ? a > b : a < b);
              const bool same = a == b || (std::isnan(a) && std::isnan(b));
              if (better || (last && same)) want = i;
            }
            EXPECT_EQ(y[r], want) << table->isa << " n=" << n;
          }
        }
    }
}

TEST(Softmax, MatchesDoubleReferencesAlongRowsAndColumns) {
  for (const Kernels* table : all_tables())
    for (int64_t rows : {1, 2, 5, 17})
      for (int64_t columns : {1, 2, 7, 8, 9, 16, 33, 100, 1500}) {
        const std::vector<float> x = random_floats(rows * columns, 5, -30, 30);
        std::vector<float> plain(x.size()), logs(x.size()), in_place = x;
        const auto check = [&](int64_t first, int64_t step, int64_t count) {
          double largest = -inf, sum = 0;
          for (int64_t i = 0; i < count; ++i) largest = std::max<double>(largest, x[first + i * step]);
          for (int64_t i = 0; i < count; ++i) sum += std::exp(x[first + i * step] - largest);
          for (int64_t i = 0; i < count; ++i) {
            const int64_t at = first + i * step;
            const double want = std::exp(x[at] - largest) / sum;
            ASSERT_NEAR(plain[at], want, want * 4e-6) << table->isa;
            ASSERT_NEAR(logs[at], x[at] - largest - std::log(sum), 2e-5);
            ASSERT_EQ(in_place[at], plain[at]);
          }
        };
        table->softmax_rows(x.data(), plain.data(), rows, columns);
        table->softmax_rows(in_place.data(), in_place.data(), rows, columns);
        table->log_softmax_rows(x.data(), logs.data(), rows, columns);
        for (int64_t r = 0; r < rows; ++r) check(r * columns, 1, columns);
        in_place = x;
        table->softmax_columns(x.data(), plain.data(), rows, columns, columns);
        table->softmax_columns(in_place.data(), in_place.data(), rows, columns, columns);
        table->log_softmax_columns(x.data(), logs.data(), rows, columns, columns);
        for (int64_t c = 0; c < columns; ++c) check(c, columns, rows);
      }
}

TEST(Softmax, HandlesMaskedRows) {
  for (const Kernels* table : all_tables()) {
    const std::vector<float> x{1, -inf, 1, -inf, -inf, -inf, 3, 2, nan};
    std::vector<float> y(9);
    table->softmax_rows(x.data(), y.data(), 3, 3);
    EXPECT_EQ(y[0], 0.5f);
    EXPECT_EQ(y[1], 0.0f);
    for (int i = 3; i < 9; ++i) EXPECT_TRUE(std::isnan(y[i]));
  }
}

TEST(Normalisations, MatchDoubleReferences) {
  for (const Kernels* table : all_tables())
    for (int64_t columns : {1, 2, 7, 8, 9, 31, 64, 384, 1500})
      for (const float offset : {0.0f, 1000.0f}) {
        const int64_t rows = 3;
        std::vector<float> x = random_floats(rows * columns, 6);
        for (float& v : x) v += offset;
        const std::vector<float> scale = random_floats(columns, 7), bias = random_floats(columns, 8);
        std::vector<float> y(x.size()), bare(x.size()), rms(x.size()), mean(rows), factor(rows), inverse(rows);
        table->layer_norm_rows(x.data(), scale.data(), bias.data(), 1e-5f, y.data(), mean.data(), factor.data(), rows,
                               columns);
        table->layer_norm_rows(x.data(), nullptr, nullptr, 1e-5f, bare.data(), nullptr, nullptr, rows, columns);
        table->rms_norm_rows(x.data(), scale.data(), 1e-5f, rms.data(), inverse.data(), rows, columns);
        for (int64_t r = 0; r < rows; ++r) {
          double sum = 0, variance = 0, squares = 0;
          for (int64_t i = 0; i < columns; ++i) sum += x[r * columns + i], squares += std::pow(x[r * columns + i], 2.0);
          const double centre = sum / double(columns);
          for (int64_t i = 0; i < columns; ++i) variance += std::pow(x[r * columns + i] - centre, 2.0);
          const double f = 1 / std::sqrt(variance / double(columns) + double(1e-5f));
          const double g = 1 / std::sqrt(squares / double(columns) + double(1e-5f));
          const double slack = 4e-6 + 1e-7 * offset * f;  // an ulp of x in the mean, in deviations
          EXPECT_NEAR(mean[r], centre, 1e-7 * (1 + offset));
          EXPECT_NEAR(factor[r], f, f * 1e-6 + 1e-9 * offset);
          EXPECT_NEAR(inverse[r], g, g * 1e-6);
          for (int64_t i = 0; i < columns; ++i) {
            const double z = (x[r * columns + i] - centre) * f;
            ASSERT_NEAR(bare[r * columns + i], z, slack) << table->isa << " columns=" << columns;
            ASSERT_NEAR(y[r * columns + i], z * scale[i] + bias[i], slack + 1e-6);
            ASSERT_NEAR(rms[r * columns + i], x[r * columns + i] * g * scale[i], 4e-6);
          }
        }
      }
}

}  // namespace
}  // namespace outpost::kernels
