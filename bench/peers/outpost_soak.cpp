// Runs one Outpost session at random lengths, as `ort_bench --soak` does with ONNX Runtime, and prints the same record:
//
//   outpost_soak MODEL THREADS RUNS SEED|=LENGTH NAME:DTYPE:1xS:FILE...
//
// then one JSON object with the peak of resident memory.
#include <outpost/outpost.h>

#include "measure.h"

int main(int argc, char** argv) try {
  if (argc < 6) die("usage", "outpost_soak MODEL THREADS RUNS SEED|=LENGTH NAME:DTYPE:SHAPE:FILE...");
  const outpost::Session session(argv[1], {.threads = std::atoi(argv[2])});
  const int runs = std::atoi(argv[3]);
  const int64_t fixed = argv[4][0] == '=' ? std::atoll(argv[4] + 1) : 0;
  uint64_t random = fixed ? 0 : std::strtoull(argv[4], nullptr, 10);

  std::vector<Input> inputs(static_cast<size_t>(argc - 5));
  std::vector<outpost::NamedDatum> given(inputs.size());
  for (size_t i = 0; i < inputs.size(); ++i) {
    parse_input(&inputs[i], argv[5 + i]);
    given[i].name = inputs[i].name;
  }

  std::vector<int64_t> lengths(static_cast<size_t>(runs));
  std::vector<double> wall(lengths.size()), cpu(lengths.size());
  Soak soak = {{}, lengths.data(), wall.data(), cpu.data(), runs};
  for (int run = -1; run < runs; ++run) {
    const int64_t length = run < 0 ? (fixed > 0 ? fixed : int64_t{max_length}) : next_length(&random, fixed);
    for (size_t i = 0; i < inputs.size(); ++i) {
      set_dimensions(&inputs[i], length);
      given[i].value = outpost::Tensor::view(inputs[i].data, static_cast<outpost::DType>(inputs[i].type),
                                             outpost::Shape(inputs[i].shape, inputs[i].rank));
    }
    const double wall_start = now(CLOCK_MONOTONIC), cpu_start = now(CLOCK_PROCESS_CPUTIME_ID);
    session.run(given);
    if (run >= 0) {
      cpu[run] = now(CLOCK_PROCESS_CPUTIME_ID) - cpu_start;
      wall[run] = now(CLOCK_MONOTONIC) - wall_start;
      lengths[run] = length;
    }
    soak.resident[(run + 1) * soak_marks / runs] = status_bytes("VmRSS");
  }
  print_soak(&soak);
  std::printf("{\"engine\":\"outpost\",\"peak_memory_bytes\":%zu}\n", status_bytes("VmHWM"));
  return 0;
} catch (const std::exception& error) {
  die("outpost_soak", error.what());
}
