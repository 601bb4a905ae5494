// A profiled model: what each step took, how much work it was, and how far from the machine's limits that is.
#pragma once
#include <string>
#include <vector>

#include "machine.h"
#include "outpost/session.h"

namespace outpost::cli {

struct ProfiledStep {
  std::string op, node, shapes;
  double ms = 0;  // the least of all runs
  double flops = 0, bytes = 0;
};

struct Profile {
  std::string model;
  int threads = 1, runs = 0;
  MachinePeaks peaks;
  std::vector<ProfiledStep> steps;  // in the order they run
  double total_ms = 0;              // of all steps

  double share(const ProfiledStep& s) const { return total_ms > 0 ? s.ms / total_ms : 0; }
  // The least time the machine could take, by the roofline (Williams, Waterman, Patterson 2009), over the time it took.
  // Above 1 where caches are faster than the memory that was measured.
  double of_peak(const ProfiledStep&) const;
  bool memory_bound(const ProfiledStep& s) const { return s.bytes * peaks.gflops > s.flops * peaks.gigabytes_second; }
};

struct OperatorSum {
  std::string op;
  int count = 0;
  double ms = 0, flops = 0, bytes = 0;
};
std::vector<OperatorSum> by_operator(const std::vector<ProfiledStep>& steps);  // most time first
std::vector<const ProfiledStep*> by_time(const std::vector<ProfiledStep>& steps);

// Merges runs of the same steps.
std::vector<ProfiledStep> merge_runs(const std::vector<std::vector<ProfileEntry>>& runs);

}  // namespace outpost::cli
