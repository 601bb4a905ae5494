// What this machine can do at most, measured here in a fraction of a second: multiply-adds in registers, and reading
// memory that no cache holds.
#pragma once

namespace outpost::cli {

struct MachinePeaks {
  double gflops = 0;            // f32, with the vectors of the kernels in use
  double gigabytes_second = 0;  // read
};

MachinePeaks measure_machine(int threads);

}  // namespace outpost::cli
