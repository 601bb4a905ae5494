// RunContext's services that are not one-liners.
#include "ops/run_context.h"

#include <algorithm>

#include "base/thread_pool.h"

namespace outpost {

int RunContext::worker() noexcept { return ThreadPool::worker(); }

void RunContext::parallel(int64_t tiles, FunctionRef<void(int64_t)> body) const {
  if (threads_ <= 1 || tiles <= 1) {
    for (int64_t tile = 0; tile < tiles; ++tile) body(tile);
    return;
  }
  ThreadPool::process().run(tiles, threads_, body);
}

void RunContext::parallel_ranges(int64_t count, int64_t grain, FunctionRef<void(int64_t, int64_t)> body) const {
  if (count <= grain || threads_ <= 1) {
    if (count > 0) body(0, count);
    return;
  }
  parallel((count + grain - 1) / grain, [&](int64_t tile) { body(tile * grain, std::min(count, (tile + 1) * grain)); });
}

void RunContext::fail_text(const std::string& what) const { outpost::fail(ErrorCode::invalid_data, node_->label(), ": ", what); }

}  // namespace outpost
