// Packed weights side by side in few large pieces of memory: less of it is lost to ends, and large pages serve small
// weights too. A piece lives as long as any of the weights in it.
#pragma once
#include <mutex>

#include "ops/packed_store.h"

namespace outpost {

class PackedArena final : public PackedStore {
 public:
  Tensor packed(std::string_view key, size_t bytes, FunctionRef<void(void*)> fill) override;
  // Memory for a weight, not filled. Thread-safe.
  Tensor take(size_t bytes);

 private:
  std::mutex mutex_;
  Tensor piece_;
  size_t used_ = 0, total_ = 0;
};

}  // namespace outpost
