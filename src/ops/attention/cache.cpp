// Copies by head; a past that already lies where it should stays.
#include "ops/attention/cache.h"

#include <cstring>

namespace outpost {

void join_cache(const RunContext& c, const View* past, const AttentionOperand& fresh, int64_t rows, int64_t batch, int64_t heads,
                int64_t size, void* out) {
  const size_t row_bytes = bytes_for(fresh.dtype, size);
  const int64_t past_rows = past ? past->dim(2) : 0;
  const size_t head_bytes = row_bytes * static_cast<size_t>(past_rows + rows), past_bytes = row_bytes * static_cast<size_t>(past_rows);
  const size_t element = bytes_for(fresh.dtype, 1);
  auto copy_head = [&](int64_t index) {
    const int64_t b = index / heads, h = index % heads;
    auto* to = static_cast<std::byte*>(out) + static_cast<size_t>(index) * head_bytes;
    if (past_bytes > 0) {
      const auto* from = static_cast<const std::byte*>(past->data) + static_cast<size_t>(index) * past_bytes;
      if (from != to) std::memcpy(to, from, past_bytes);
    }
    const auto* from = static_cast<const std::byte*>(fresh.data) + element * static_cast<size_t>(b * fresh.batch + h * fresh.head);
    if (row_bytes == 0) return;
    if (fresh.row == size) {
      if (rows > 0) std::memcpy(to + past_bytes, from, row_bytes * static_cast<size_t>(rows));
      return;
    }
    for (int64_t r = 0; r < rows; ++r)
      std::memcpy(to + past_bytes + row_bytes * static_cast<size_t>(r), from + element * static_cast<size_t>(r * fresh.row), row_bytes);
  };
  if (head_bytes * static_cast<size_t>(batch * heads) >= 1 << 16) return c.parallel(batch * heads, copy_head);
  for (int64_t i = 0; i < batch * heads; ++i) copy_head(i);
}

}  // namespace outpost
