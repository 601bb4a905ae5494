// What the characters of string tensors take. They lie outside the arena and outside every plan, so a run counts them as it
// goes: before a step by a bound, since a few nodes can ask for more text than any memory holds (a string joined to itself
// forty times, a long one tiled), and after it as they are.
#pragma once
#include <algorithm>

#include "ops/run_context.h"

namespace outpost {

inline size_t text_bytes(const View& v) {
  size_t sum = 0;
  for (int64_t i = 0, n = v.count(); i < n; ++i) sum += v.as<std::string>()[i].size();
  return sum;
}

// No operator makes an element longer than its longest inputs joined, and those that cut make no more than they are given.
inline size_t text_bound(const Node& node, std::span<const View* const> inputs, int64_t elements) {
  if (node.op == "StringSplit") return 0;
  size_t longest = 0;
  for (const View* v : inputs) {
    if (!v || !v->dims || !v->data || v->dtype != DType::string) continue;
    size_t own = 0;
    for (int64_t i = 0, n = v->count(); i < n; ++i) own = std::max(own, v->as<std::string>()[i].size());
    longest += own;
  }
  const auto count = static_cast<size_t>(elements);
  return longest != 0 && count > (size_t{1} << 62) / longest ? size_t{1} << 62 : count * longest;
}

}  // namespace outpost
