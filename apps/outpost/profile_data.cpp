#include "profile_data.h"

#include <algorithm>

namespace outpost::cli {

double Profile::of_peak(const ProfiledStep& s) const {
  if (s.ms <= 0 || peaks.gflops <= 0 || peaks.gigabytes_second <= 0) return 0;
  return std::max(s.flops / peaks.gflops, s.bytes / peaks.gigabytes_second) / 1e6 / s.ms;
}

std::vector<OperatorSum> by_operator(const std::vector<ProfiledStep>& steps) {
  std::vector<OperatorSum> sums;
  for (const ProfiledStep& s : steps) {
    auto sum = std::find_if(sums.begin(), sums.end(), [&](const OperatorSum& o) { return o.op == s.op; });
    if (sum == sums.end()) sum = sums.insert(sums.end(), {s.op});
    ++sum->count;
    sum->ms += s.ms;
    sum->flops += s.flops;
    sum->bytes += s.bytes;
  }
  std::stable_sort(sums.begin(), sums.end(), [](const auto& a, const auto& b) { return a.ms > b.ms; });
  return sums;
}

std::vector<const ProfiledStep*> by_time(const std::vector<ProfiledStep>& steps) {
  std::vector<const ProfiledStep*> order;
  for (const ProfiledStep& s : steps) order.push_back(&s);
  std::stable_sort(order.begin(), order.end(), [](const auto* a, const auto* b) { return a->ms > b->ms; });
  return order;
}

std::vector<ProfiledStep> merge_runs(const std::vector<std::vector<ProfileEntry>>& runs) {
  std::vector<ProfiledStep> steps;
  if (runs.empty()) return steps;
  std::vector<double> times;
  for (size_t i = 0; i < runs.back().size(); ++i) {
    const ProfileEntry& e = runs.back()[i];
    times.clear();
    for (const auto& run : runs)
      if (i < run.size() && run[i].op == e.op) times.push_back(static_cast<double>(run[i].duration_ns) / 1e6);
    steps.push_back({e.op, e.node, e.shapes, *std::min_element(times.begin(), times.end()), e.flops, e.bytes});
  }
  return steps;
}

}  // namespace outpost::cli
