// outpost bench: how long a model takes. Every sample is one run, or, where a run is shorter than a fifth of a millisecond,
// the mean of as many as fill it, so that the clock's own cost does not count.
#include <sys/resource.h>
#include <time.h>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <memory>

#include "base/text.h"
#include "configuration.h"
#include "outpost/outpost.h"
#include "shapes.h"
#include "subcommands.h"

namespace outpost::cli {
namespace {

struct Options {
  std::string model;
  std::vector<int> threads;
  int runs = 30;
  std::vector<std::string> shapes;
  std::string precision = "f32", cache;
  bool json = false;
};

double seconds(clockid_t clock) {
  timespec t;
  clock_gettime(clock, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

struct Distribution {
  std::vector<double> ms;
  nlohmann::ordered_json json() {
    std::sort(ms.begin(), ms.end());
    auto at = [&](double q) { return ms[std::min(ms.size() - 1, static_cast<size_t>(q * static_cast<double>(ms.size())))]; };
    return {{"min", ms.front()}, {"median", at(0.5)}, {"p90", at(0.9)}, {"max", ms.back()}};
  }
};

// The most memory this program had resident. (getrusage's figure counts what its parent had before it became this.)
size_t peak_memory_bytes() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("VmHWM:")) return std::strtoull(line.c_str() + 6, nullptr, 10) * 1024;
  rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<size_t>(usage.ru_maxrss) * 1024;
}

// From here on (Linux 4.0).
void forget_peak_memory() {
  std::ofstream("/proc/self/clear_refs") << "5";
}

nlohmann::ordered_json measure(const Options& o, int threads) {
  forget_peak_memory();
  const double begin = seconds(CLOCK_MONOTONIC);
  const Model model = Model::load(o.model);
  SessionOptions options = session_options();
  options.threads = threads;
  options.precision = o.precision == "bf16" ? Precision::bf16 : Precision::f32;
  if (!o.cache.empty()) options.cache_directory = o.cache;
  const Session session(model, options);
  const double opened = seconds(CLOCK_MONOTONIC);
  const std::vector<Shape> shapes = plannable_shapes(session, model, o.shapes);
  Binding binding(session);
  for (size_t i = 0; i < shapes.size(); ++i) {
    const TypeInfo& type = model.inputs()[i].type;
    if (type.kind != TypeInfo::Kind::tensor) fail(ErrorCode::unsupported, "bench: input '", model.inputs()[i].name, "' is ", to_string(type), "; only tensors can be made up");
    binding.input(i, stand_in(type.dtype, shapes[i]));
  }
  const double ready = seconds(CLOCK_MONOTONIC);
  binding.run();
  const double first = seconds(CLOCK_MONOTONIC) - ready;
  for (size_t i = 0; i < model.outputs().size(); ++i)
    if (binding.result(i).kind() == Datum::Kind::tensor && binding.result(i).tensor().dtype() != DType::string) {
      const Tensor& t = binding.result(i).tensor();
      binding.output(i, Tensor(t.dtype(), t.shape()));
    }
  const double once_begin = seconds(CLOCK_MONOTONIC);
  binding.run();
  const double once = seconds(CLOCK_MONOTONIC) - once_begin;
  const int repeat = std::max(1, static_cast<int>(0.2e-3 / std::max(once, 1e-7)));
  for (double until = seconds(CLOCK_MONOTONIC) + std::min(0.2, 3 * once); seconds(CLOCK_MONOTONIC) < until;) binding.run();
  Distribution wall, cpu;
  for (int i = 0; i < o.runs; ++i) {
    const double c = seconds(CLOCK_PROCESS_CPUTIME_ID), w = seconds(CLOCK_MONOTONIC);
    for (int r = 0; r < repeat; ++r) binding.run();
    wall.ms.push_back(1e3 * (seconds(CLOCK_MONOTONIC) - w) / repeat);
    cpu.ms.push_back(1e3 * (seconds(CLOCK_PROCESS_CPUTIME_ID) - c) / repeat);
  }
  const PlanInfo plan = session.plan(shapes);
  return {{"model", o.model}, {"threads", session.options().threads}, {"runs", o.runs}, {"open_ms", 1e3 * (opened - begin)}, {"first_ms", 1e3 * first},
          {"wall_ms", wall.json()}, {"cpu_ms", cpu.json()}, {"peak_memory_bytes", peak_memory_bytes()}, {"arena_bytes", plan.arena_bytes},
          {"weights_bytes", plan.weights_bytes}, {"flops", plan.flops}};
}

int bench(const Options& o) {
  auto report = nlohmann::ordered_json::array();
  std::vector<int> threads = o.threads;
  if (threads.empty()) threads = {session_options().threads};
  if (!o.json) std::printf("%7s %9s %9s | %9s %9s %9s %9s | %9s | %9s %9s %8s\n", "threads", "open ms", "first ms", "min ms", "median", "p90", "max", "cpu min", "GFLOP/s", "arena MB", "peak MB");
  for (int t : threads) {
    auto r = measure(o, t);
    if (!o.json) {
      const double min = r["wall_ms"]["min"];
      std::printf("%7d %9.2f %9.2f | %9.4f %9.4f %9.4f %9.4f | %9.4f | %9.1f %9.2f %8.1f\n", r["threads"].get<int>(), r["open_ms"].get<double>(), r["first_ms"].get<double>(), min,
                  r["wall_ms"]["median"].get<double>(), r["wall_ms"]["p90"].get<double>(), r["wall_ms"]["max"].get<double>(), r["cpu_ms"]["min"].get<double>(),
                  r["flops"].get<double>() / min / 1e6, r["arena_bytes"].get<double>() / 1e6, r["peak_memory_bytes"].get<double>() / 1e6);
      std::fflush(stdout);
    }
    report.push_back(std::move(r));
  }
  if (o.json) std::printf("%s\n", report.dump(2).c_str());
  return 0;
}

}  // namespace

void add_bench(CLI::App& program, Run& run) {
  auto o = std::make_shared<Options>();
  auto* command = program.add_subcommand("bench", "Measure a model: open, first run, latency, processor time, memory");
  command->footer("Example: outpost bench resnet50.onnx --threads 1,2 --shape data=1x3x224x224 --json");
  command->add_option("MODEL", o->model, "an ONNX file")->required();
  command->add_option("--threads", o->threads, "thread counts, 1,2 (default: all cores)")->delimiter(',')->check(CLI::Range(1, 1024));
  command->add_option("--runs", o->runs, "measured runs")->capture_default_str()->check(CLI::Range(1, 1'000'000));
  command->add_option("--shape", o->shapes, "an input's shape where the model leaves it open: NAME=1x3x224x224");
  command->add_option("--precision", o->precision, "matrix products in f32 or bf16")->capture_default_str()->check(CLI::IsMember({"f32", "bf16"}));
  command->add_option("--cache", o->cache, "a folder that keeps prepared models: opening one again only maps it");
  command->add_flag("--json", o->json, "a JSON list, one object for each thread count");
  command->callback([o, &run] { run = [o] { return bench(*o); }; });
}

}  // namespace outpost::cli
