// Where packed weights lie. An operator's `prepare` asks PrepareContext::packed for memory and says how to fill it; the
// store gives it memory of its own, or bytes that an earlier opening packed and that a cache file holds. So what is
// packed must be plain bytes without addresses, and follow from the node, its constants, the options of the session and
// the instruction set alone.
#pragma once
#include <cstddef>
#include <string_view>

#include "base/function_ref.h"
#include "outpost/tensor.h"

namespace outpost {

class PackedStore {
 public:
  virtual ~PackedStore() = default;
  // u8[bytes], 64-byte aligned and not to be written once filled. `key` names it within the program. Thread-safe.
  virtual Tensor packed(std::string_view key, size_t bytes, FunctionRef<void(void*)> fill) = 0;
};

}  // namespace outpost
