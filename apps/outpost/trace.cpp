#include "trace.h"

#include <nlohmann/json.hpp>

#include <algorithm>

#include "base/write_file.h"

namespace outpost::cli {

void save_trace(const std::string& path, const std::string& model, const std::vector<ProfileEntry>& steps, int threads) {
  using nlohmann::ordered_json;
  auto events = ordered_json::array();
  events.push_back({{"name", "process_name"}, {"ph", "M"}, {"pid", 1}, {"tid", 1}, {"args", {{"name", "outpost " + model}}}});
  events.push_back({{"name", "thread_name"}, {"ph", "M"}, {"pid", 1}, {"tid", 1}, {"args", {{"name", "steps, " + std::to_string(threads) + " threads each"}}}});
  for (const ProfileEntry& e : steps) {
    const double ns = static_cast<double>(std::max<int64_t>(1, e.duration_ns));
    events.push_back({{"name", e.node.empty() ? e.op : e.op + " " + e.node}, {"cat", e.op}, {"ph", "X"}, {"pid", 1}, {"tid", 1},
                      {"ts", static_cast<double>(e.start_ns) / 1e3}, {"dur", static_cast<double>(e.duration_ns) / 1e3},
                      {"args", {{"op", e.op}, {"node", e.node}, {"shapes", e.shapes}, {"flops", e.flops}, {"bytes", e.bytes},
                                {"GFLOP/s", e.flops / ns}, {"GB/s", e.bytes / ns}, {"threads", threads}}}});
  }
  const ordered_json trace = {{"displayTimeUnit", "ms"}, {"traceEvents", events}, {"otherData", {{"model", model}}}};
  write_file(path, trace.dump(1, ' ', false, ordered_json::error_handler_t::replace) + "\n");
}

}  // namespace outpost::cli
