// outpost profile: where a model's time goes. A table of the slowest steps with their share of the time and of what the
// machine could do, sums by operator, and a picture.
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstdio>
#include <memory>

#include "base/text.h"
#include "configuration.h"
#include "outpost/outpost.h"
#include "profile_data.h"
#include "roofline.h"
#include "shapes.h"
#include "subcommands.h"
#include "terminal.h"
#include "trace.h"

namespace outpost::cli {
namespace {

struct Options {
  std::string model, precision = "f32", cache, plot, trace;
  std::vector<std::string> shapes, passes_off;
  int threads = 1, runs = 10, top = 25;
  bool json = false;
};

std::string printed(const char* format, double v) {
  char out[32];
  std::snprintf(out, sizeof out, format, v);
  return out;
}

// A bar of eighths of a column.
std::string bar(double part, int columns) {
  static const char* const eighths[] = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
  const int n = static_cast<int>(std::clamp(part, 0.0, 1.0) * columns * 8 + 0.5);
  std::string out;
  for (int i = 0; i < n / 8; ++i) out += "█";
  return out + eighths[n % 8];
}

Profile measure(const Options& o, std::vector<ProfileEntry>& last) {
  const Model model = Model::load(o.model);
  SessionOptions options = session_options();
  options.threads = o.threads;
  options.precision = o.precision == "bf16" ? Precision::bf16 : Precision::f32;
  if (!o.passes_off.empty()) options.passes_off = o.passes_off;
  if (!o.cache.empty()) options.cache_directory = o.cache;
  const Session session(model, options);
  const std::vector<Shape> shapes = input_shapes(model, o.shapes);
  Binding binding(session);
  for (size_t i = 0; i < shapes.size(); ++i) {
    const TypeInfo& type = model.inputs()[i].type;
    if (type.kind != TypeInfo::Kind::tensor)
      fail(ErrorCode::unsupported, "profile: input '", model.inputs()[i].name, "' is ", to_string(type), "; only tensors can be made up");
    binding.input(i, stand_in(type.dtype, shapes[i]));
  }
  Progress progress("profiling");
  binding.run();  // the first run finds its memory
  std::vector<std::vector<ProfileEntry>> runs(static_cast<size_t>(o.runs));
  for (size_t i = 0; i < runs.size(); ++i) {
    RunOptions run;
    run.profile = &runs[i];
    binding.run(run);
    progress.update(static_cast<double>(i + 1) / static_cast<double>(runs.size()));
  }
  Profile p;
  const size_t slash = o.model.rfind('/');
  p.model = slash == std::string::npos ? o.model : o.model.substr(slash + 1);
  p.threads = o.threads;
  p.runs = o.runs;
  p.steps = merge_runs(runs);
  p.peaks = measure_machine(o.threads);
  for (const ProfiledStep& s : p.steps) p.total_ms += s.ms;
  last = std::move(runs.back());
  return p;
}

void print_steps(const Profile& p, size_t most) {
  const auto order = by_time(p.steps);
  std::vector<std::vector<std::string>> rows = {{"time", "share", "", "operator", "flops", "bytes", "GFLOP/s", "of limit", "", "node"}};
  for (size_t i = 0; i < std::min(most, order.size()); ++i) {
    const ProfiledStep& s = *order[i];
    const std::string node = s.node.size() > 40 ? "…" + s.node.substr(s.node.size() - 39) : s.node;
    rows.push_back({human_ms(s.ms), printed("%.1f %%", 100 * p.share(s)), bar(s.ms / std::max(1e-12, order[0]->ms), 16), s.op, human_count(s.flops),
                    human_bytes(s.bytes), printed("%.1f", s.flops / std::max(1e-9, s.ms) / 1e6), printed("%.0f %%", 100 * p.of_peak(s)),
                    p.memory_bound(s) ? "memory" : "arithmetic", node});
  }
  std::fputs(table(rows).c_str(), stdout);
  if (order.size() > most) std::printf("  … %zu more (--top %zu shows all)\n", order.size() - most, order.size());
}

void print_operators(const Profile& p) {
  std::vector<std::vector<std::string>> rows = {{"operator", "steps", "time", "share", "GFLOP/s", "GB/s"}};
  for (const OperatorSum& o : by_operator(p.steps))
    rows.push_back({o.op, std::to_string(o.count), human_ms(o.ms), printed("%.1f %%", 100 * o.ms / std::max(1e-12, p.total_ms)),
                    printed("%.1f", o.flops / std::max(1e-9, o.ms) / 1e6), printed("%.1f", o.bytes / std::max(1e-9, o.ms) / 1e6)});
  std::fputs(table(rows).c_str(), stdout);
}

nlohmann::ordered_json as_json(const Profile& p) {
  auto steps = nlohmann::ordered_json::array(), operators = nlohmann::ordered_json::array();
  for (const ProfiledStep& s : p.steps)
    steps.push_back({{"op", s.op}, {"node", s.node}, {"shapes", s.shapes}, {"ms", s.ms}, {"share", p.share(s)}, {"flops", s.flops}, {"bytes", s.bytes},
                     {"of_limit", p.of_peak(s)}, {"limit", p.memory_bound(s) ? "memory" : "arithmetic"}});
  for (const OperatorSum& o : by_operator(p.steps))
    operators.push_back({{"op", o.op}, {"steps", o.count}, {"ms", o.ms}, {"flops", o.flops}, {"bytes", o.bytes}});
  return {{"model", p.model}, {"threads", p.threads}, {"runs", p.runs}, {"peak_gflops", p.peaks.gflops}, {"read_gigabytes_second", p.peaks.gigabytes_second},
          {"total_ms", p.total_ms}, {"operators", operators}, {"steps", steps}};
}

int profile(const Options& o) {
  std::vector<ProfileEntry> last;
  const Profile p = measure(o, last);
  if (o.json) {
    std::printf("%s\n", as_json(p).dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace).c_str());
  } else {
    std::printf("%s: %s in %zu steps, %d thread%s, least times of %d runs\nthis machine: %.0f GFLOP/s in f32, reads %.0f GB/s\n\n", p.model.c_str(),
                human_ms(p.total_ms).c_str(), p.steps.size(), p.threads, p.threads == 1 ? "" : "s", p.runs, p.peaks.gflops, p.peaks.gigabytes_second);
    print_steps(p, static_cast<size_t>(o.top));
    std::printf("\n");
    print_operators(p);
  }
  if (!o.plot.empty()) save_roofline(o.plot, p);
  if (!o.trace.empty()) save_trace(o.trace, p.model, last, p.threads);
  if (!o.json && !o.plot.empty()) std::printf("\ndrawn to %s\n", o.plot.c_str());
  return 0;
}

}  // namespace

void add_profile(CLI::App& program, Run& run) {
  auto o = std::make_shared<Options>();
  auto* command = program.add_subcommand("profile", "Show where a model's time goes, step by step, and how far from the machine's limits");
  command->footer("\"of limit\": the least time that the machine's arithmetic and memory allow a step, over the time it took; above 100 % where caches\n"
                  "are faster than memory.\n"
                  "Examples:\n"
                  "  outpost profile resnet50.onnx --plot roofline.png\n"
                  "  outpost profile bert.onnx --shape input_ids=1x128 --threads 2 --trace trace.json");
  command->add_option("MODEL", o->model, "an ONNX file")->required();
  command->add_option("--threads", o->threads, "threads of a run")->capture_default_str()->check(CLI::Range(1, 1024));
  command->add_option("--runs", o->runs, "measured runs")->capture_default_str()->check(CLI::Range(1, 100000));
  command->add_option("--shape", o->shapes, "an input's shape where the model leaves it open: NAME=1x3x224x224");
  command->add_option("--top", o->top, "steps in the table")->capture_default_str()->check(CLI::PositiveNumber);
  command->add_option("--plot", o->plot, "a picture: FILE.png or FILE.svg");
  command->add_option("--trace", o->trace, "the last run as a Chrome trace (chrome://tracing, Perfetto)");
  command->add_option("--precision", o->precision, "matrix products in f32 or bf16")->capture_default_str()->check(CLI::IsMember({"f32", "bf16"}));
  command->add_option("--passes-off", o->passes_off, "optimisations to leave out, or all (names: outpost inspect --passes)")->delimiter(',');
  command->add_option("--cache", o->cache, "a folder that keeps prepared models");
  command->add_flag("--json", o->json, "everything as a JSON object");
  command->callback([o, &run] { run = [o] { return profile(*o); }; });
}

}  // namespace outpost::cli
