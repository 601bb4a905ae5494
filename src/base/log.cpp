// The process's log function. Function and context are read together, so they change under one mutex; the level is read
// first and alone, so that a message nobody wants costs one load.
#include "base/log.h"

#include <atomic>
#include <mutex>

namespace outpost {
namespace {

constexpr int nobody = 1000;

std::atomic<int> least_level{nobody};
std::mutex sink_mutex;
LogFunction sink = nullptr;
void* sink_context = nullptr;

}  // namespace

void set_log(LogFunction function, void* context, LogLevel least) noexcept {
  std::lock_guard lock(sink_mutex);
  sink = function;
  sink_context = context;
  least_level.store(function ? static_cast<int>(least) : nobody, std::memory_order_relaxed);
}

bool log_wanted(LogLevel level) noexcept { return static_cast<int>(level) >= least_level.load(std::memory_order_relaxed); }

void log_message(LogLevel level, std::string_view message) {
  LogFunction function;
  void* context;
  {
    std::lock_guard lock(sink_mutex);
    function = sink;
    context = sink_context;
  }
  if (function) function(level, message, context);
}

}  // namespace outpost
