// C interface: what belongs to the whole process.
#include <deque>
#include <mutex>

#include "api/c_handles.h"

using namespace outpost;
using namespace outpost::c;

namespace {

struct Sink {
  void (*log)(int32_t, const char*, size_t, void*);
  void* context;
};

void forward(LogLevel level, std::string_view message, void* sink) {
  const Sink& s = *static_cast<const Sink*>(sink);
  const std::string terminated(message);
  s.log(static_cast<int32_t>(level), terminated.c_str(), terminated.size(), s.context);
}

// Sinks stay: another thread may be calling the one before.
Sink* kept(Sink sink) {
  static std::mutex mutex;
  static std::deque<Sink> sinks;
  std::lock_guard lock(mutex);
  return &sinks.emplace_back(sink);
}

}  // namespace

extern "C" {

void outpost_set_log(void (*log)(int32_t, const char*, size_t, void*), void* context, int32_t least) {
  guarded([&] { set_log(log ? forward : nullptr, log ? kept({log, context}) : nullptr, static_cast<LogLevel>(std::clamp(least, 0, 4))); });
}

outpost_status outpost_set_allocator(const outpost_allocator* allocator) {
  return guarded([&] {
    const outpost_allocator a = read_struct(allocator);
    if (allocator && (!a.allocate || !a.free)) fail(ErrorCode::invalid_argument, "an allocator needs allocate and free");
    set_allocator({a.allocate, a.free, a.context});
  });
}

}  // extern "C"
