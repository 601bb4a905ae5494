// profile MODEL.onnx: where the time of a run goes, by operator, and what the plan says of memory and work.
#include <outpost/outpost.h>

#include <cstdio>
#include <map>

int main(int argc, char** argv) try {
  if (argc != 2) return std::fprintf(stderr, "usage: profile MODEL.onnx\n"), 2;
  const outpost::Session session(argv[1], {.threads = 1});

  // Zeros for every input; open dimensions are 1.
  std::vector<outpost::NamedDatum> inputs;
  std::vector<outpost::Shape> shapes;
  for (const outpost::ValueInfo& input : session.inputs()) {
    outpost::Shape shape;
    for (const outpost::Dimension& d : input.type.shape) shape.push_back(d.size < 0 ? 1 : d.size);
    outpost::Tensor zeros(input.type.dtype, shape);
    std::fill_n(static_cast<char*>(zeros.raw()), zeros.bytes(), 0);
    inputs.push_back({input.name, std::move(zeros)});
    shapes.push_back(shape);
  }
  const outpost::PlanInfo plan = session.plan(shapes);
  std::printf("%zu steps, %.1f MFLOP, %.1f kB of working memory\n", plan.steps.size(), plan.flops / 1e6, plan.arena_bytes / 1e3);

  std::vector<outpost::ProfileEntry> profile;
  session.run(inputs, {.profile = &profile});
  std::map<std::string, double> milliseconds;
  for (const outpost::ProfileEntry& step : profile) milliseconds[step.op] += step.duration_ns / 1e6;
  for (const auto& [op, ms] : milliseconds) std::printf("%-12s %8.3f ms\n", op.c_str(), ms);
} catch (const std::exception& error) {
  std::fprintf(stderr, "profile: %s\n", error.what());
  return 1;
}
