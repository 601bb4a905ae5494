// Key and value caches: past and new rows joined into (batch, head, row, size).
#pragma once
#include "ops/attention/attend.h"

namespace outpost {

// Rows of `past` (batch, heads, past_rows, size; may be absent) then of `fresh` (strided as given, `rows` of them), into
// `out` (batch, heads, past_rows + rows, size), all of fresh's dtype.
void join_cache(const RunContext&, const View* past, const AttentionOperand& fresh, int64_t rows, int64_t batch, int64_t heads,
                int64_t size, void* out);

}  // namespace outpost
