// outpost run: one run of a model on inputs from files, pictures or words.
#include <CLI/CLI.hpp>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>
#include <memory>

#include "base/text.h"
#include "configuration.h"
#include "draw.h"
#include "shapes.h"
#include "subcommands.h"
#include "terminal.h"
#include "trace.h"
#include "values.h"

namespace outpost::cli {
namespace {

struct Options {
  std::string model, precision = "f32", external_data_root;
  int threads = 0;
  std::vector<std::string> passes_off, inputs, outputs, files, shapes;
  ImageSpec image;
  OutputSpec output;
  std::string config, draw;
  int top = 0;
  double timeout = 0;
  uint64_t memory_limit = 0, seed = 0;
  std::string profile, cache;
  bool json = false, random = false;
};

void print_top(const Outputs& results, const std::vector<std::string>& labels, int top) {
  const Tensor* scores = nullptr;
  for (size_t i = 0; i < results.size() && !scores; ++i)
    if (results.datum(i).kind() == Datum::Kind::tensor && results[i].dtype() != DType::string && results[i].count() > 1) scores = &results[i];
  if (!scores) fail(ErrorCode::invalid_argument, "--top: no output is a list of scores");
  std::vector<std::vector<std::string>> rows;
  for (const auto& [index, probability] : likeliest(*scores, static_cast<size_t>(top))) {
    char percent[16];
    std::snprintf(percent, sizeof percent, "%6.2f %%", probability * 100);
    rows.push_back({percent, index < labels.size() ? labels[index] : std::to_string(index)});
  }
  std::fputs(table(rows).c_str(), stdout);
}

const Detector* choose_detector(const Options& o, const Outputs* results, const Frame& frame) {
  if (o.output.detector) return &find_detector(*o.output.detector);
  return results ? guess_detector(*results, frame) : nullptr;
}

void detect(const Options& o, const Inputs& inputs, const Outputs& results, const std::vector<std::string>& labels) {
  if (!inputs.has_picture) fail(ErrorCode::invalid_argument, "--draw needs a picture as input");
  Frame frame{inputs.picture.seen.width, inputs.picture.seen.height, 0};
  const Detector* detector = choose_detector(o, &results, frame);
  if (!detector) fail(ErrorCode::unsupported, "the outputs are not those of a detector that is known; name it with --detector");
  frame.least_score = static_cast<float>(o.output.score.value_or(detector->score));
  auto found = suppress(detector->decode(results, frame), o.output.iou.value_or(detector->iou));
  place(found, inputs.picture.placement, inputs.photo.width, inputs.photo.height);
  const auto names = !labels.empty() ? labels : detector->faces ? std::vector<std::string>{"face"} : coco_labels();
  std::vector<std::vector<std::string>> rows;
  for (const Detection& d : found) {
    char score[16];
    std::snprintf(score, sizeof score, "%.2f", static_cast<double>(d.score));
    rows.push_back({score, d.label < static_cast<int>(names.size()) ? names[static_cast<size_t>(d.label)] : std::to_string(d.label),
                    text("left ", std::lround(d.left), "  top ", std::lround(d.top), "  right ", std::lround(d.right), "  bottom ", std::lround(d.bottom))});
  }
  std::printf("%zu found by %.*s\n%s", found.size(), static_cast<int>(detector->name.size()), detector->name.data(), table(rows).c_str());
  if (o.draw.empty()) return;
  Image image = inputs.photo;
  draw_detections(image, found, names);
  save_png(o.draw, image);
  std::printf("drawn to %s\n", o.draw.c_str());
}

void print_profile(const std::vector<ProfileEntry>& profile) {
  struct Sum {
    double ns = 0, flops = 0;
    int count = 0;
  };
  std::map<std::string, Sum> by_op;
  double total = 0;
  for (const ProfileEntry& e : profile) {
    Sum& s = by_op[e.op];
    s.ns += static_cast<double>(e.duration_ns);
    s.flops += e.flops;
    ++s.count;
    total += static_cast<double>(e.duration_ns);
  }
  std::vector<std::pair<std::string, Sum>> order(by_op.begin(), by_op.end());
  std::sort(order.begin(), order.end(), [](const auto& a, const auto& b) { return a.second.ns > b.second.ns; });
  std::vector<std::vector<std::string>> rows = {{"operator", "runs", "time", "share", "GFLOP/s"}};
  for (const auto& [op, s] : order) {
    char share[16], speed[16];
    std::snprintf(share, sizeof share, "%.1f %%", s.ns / total * 100);
    std::snprintf(speed, sizeof speed, "%.1f", s.flops / std::max(1.0, s.ns));
    rows.push_back({op, std::to_string(s.count), human_ms(s.ns / 1e6), share, speed});
  }
  std::fputs(table(rows).c_str(), stdout);
}

SessionOptions options_of(const Options& o) {
  SessionOptions options = session_options();
  if (o.threads > 0) options.threads = o.threads;
  if (!o.passes_off.empty()) options.passes_off = o.passes_off;
  options.precision = o.precision == "bf16" ? Precision::bf16 : Precision::f32;
  options.seed = o.seed;
  if (!o.cache.empty()) options.cache_directory = o.cache;
  return options;
}

void read_inputs(const Options& o, const Model& model, const ImageSpec& spec, Inputs& inputs) {
  for (const std::string& argument : o.inputs) read_input(argument, model.inputs(), spec, inputs);
  size_t next = 0;  // bare files are the inputs that are not named, in order
  for (const std::string& file : o.files) {
    auto named = [&](const ValueInfo& v) { return std::any_of(inputs.values.begin(), inputs.values.end(), [&](const auto& p) { return p.first == v.name; }); };
    while (next < model.inputs().size() && named(model.inputs()[next])) ++next;
    if (next == model.inputs().size()) fail(ErrorCode::invalid_argument, "'", file, "': every input has its value already");
    read_input(model.inputs()[next].name + "=" + file, model.inputs(), spec, inputs);
  }
  if (!o.random) return;
  const auto shapes = input_shapes(model, o.shapes);
  for (size_t i = 0; i < shapes.size(); ++i) {
    const ValueInfo& in = model.inputs()[i];
    if (std::none_of(inputs.values.begin(), inputs.values.end(), [&](const auto& p) { return p.first == in.name; }))
      inputs.values.emplace_back(in.name, in.type.kind == TypeInfo::Kind::tensor ? Datum(stand_in(in.type.dtype, shapes[i])) : Datum());
  }
}

int run_model(Options o) {
  const auto sidecar_path = o.config.empty() ? sidecar_of(o.model) : std::optional(o.config);
  if (sidecar_path) {
    const Sidecar sidecar = load_sidecar(*sidecar_path);
    o.image.complete_with(sidecar.image);
    o.output.complete_with(sidecar.output);
  }
  const Model model = Model::load(o.model, {.external_data_root = o.external_data_root});
  const Session session(model, options_of(o));
  if (!o.draw.empty() && !o.draw.ends_with(".png")) fail(ErrorCode::invalid_argument, "--draw '", o.draw, "': pictures are written as .png");
  const bool detecting = !o.draw.empty() || o.output.detector;
  if (detecting)
    if (const Detector* d = o.output.detector ? &find_detector(*o.output.detector) : guess_detector(model)) o.image.complete_with(d->image);

  Inputs inputs;
  read_inputs(o, model, o.image, inputs);
  std::vector<NamedDatum> arguments;
  for (const auto& [name, value] : inputs.values) arguments.push_back({name, value});
  std::vector<ProfileEntry> profile;
  RunOptions run_options;
  run_options.memory_limit_bytes = o.memory_limit;
  if (!o.profile.empty()) run_options.profile = &profile;
  if (o.timeout > 0) run_options.deadline = std::chrono::steady_clock::now() + std::chrono::nanoseconds(static_cast<int64_t>(std::min(o.timeout, 1e9) * 1e9));
  const double began = seconds_now();
  const Outputs results = session.run(arguments, run_options);
  const double milliseconds = (seconds_now() - began) * 1e3;

  if (!o.profile.empty()) save_trace(o.profile, o.model, profile, session.options().threads);
  for (const std::string& argument : o.outputs) write_output(argument, session.outputs(), results);
  if (o.json) {
    std::printf("%s\n", outputs_as_json(results).c_str());
    return 0;
  }
  const auto labels = o.output.labels ? load_labels(*o.output.labels) : std::vector<std::string>();
  if (detecting) detect(o, inputs, results, labels);
  else if (o.top > 0 || (o.output.labels && o.outputs.empty())) print_top(results, labels, o.top > 0 ? o.top : 5);
  else if (o.outputs.empty())
    for (size_t i = 0; i < results.size(); ++i) std::printf("%s: %s\n", results.name(i).c_str(), describe_datum(results.datum(i)).c_str());
  if (!o.profile.empty()) print_profile(profile);
  std::fprintf(stderr, "ran in %s\n", human_ms(milliseconds).c_str());
  return 0;
}

}  // namespace

void add_run(CLI::App& program, Run& run) {
  auto options = std::make_shared<Options>();
  auto* command = program.add_subcommand("run", "Run a model once on files, pictures or words");
  command->footer(
      "Examples:\n"
      "  outpost run mobilenet.onnx photo.jpg --preprocess imagenet --top 5 --labels names.txt\n"
      "  outpost run yolox.onnx street.jpg --draw found.png\n"
      "  outpost run bert.onnx --input ids=ids.npy --input mask=mask.npy --output logits=logits.npy\n"
      "  outpost run tokens.onnx --input text=text:hello --json");
  command->add_option("MODEL", options->model, "an ONNX file")->required();
  command->add_option("FILE", options->files, "values of the inputs, in the model's order");
  command->add_option("-i,--input", options->inputs,
                      "NAME=FILE: .npy, .npz, .pb, a picture, .txt (a string a line); NAME=text:WORDS; NAME=1,2,3; or FILE.npz for all");
  command->add_option("-o,--output", options->outputs, "NAME=FILE.npy or .json; FILE.npz or FILE.json for all");
  command->add_flag("--json", options->json, "all outputs as JSON");
  command->add_option("--top", options->top, "the N likeliest classes")->check(CLI::Range(1, 1'000'000));
  command->add_option("--labels", options->output.labels, "names of classes, one a line, or coco");
  command->add_option("--draw", options->draw, "a PNG: the picture with what a detector found");
  std::string detectors;
  for (const Detector& d : all_detectors()) detectors += text(detectors.empty() ? "" : ", ", d.name);
  command->add_option("--detector", options->output.detector, detectors + "; default: guessed from the outputs");
  command->add_option("--score", options->output.score, "the least score of what a detector finds");
  command->add_option("--iou", options->output.iou, "boxes of a class that overlap more are one");
  command->add_option("--config", options->config, "a TOML file that says how pictures are prepared (default: MODEL.toml, if there is one)");
  add_image_flags(*command, options->image);
  command->add_flag("--random", options->random, "invented values for inputs that are not given");
  command->add_option("--shape", options->shapes, "NAME=1x3x224x224: the shape of an invented value");
  command->add_option("--threads", options->threads, "threads of a run (default: all cores)")->check(CLI::Range(1, 1024));
  command->add_option("--precision", options->precision, "matrix products in f32 or bf16")->capture_default_str()->check(CLI::IsMember({"f32", "bf16"}));
  command->add_option("--external-data-root", options->external_data_root, "where the model's external data lies, if not beside it");
  command->add_option("--passes-off", options->passes_off, "optimisations to leave out, or all (names: outpost inspect --passes)")->delimiter(',');
  command->add_option("--seed", options->seed, "of the model's random numbers");
  command->add_option("--timeout", options->timeout, "seconds until the run is given up");
  command->add_option("--memory-limit", options->memory_limit, "bytes a run may take")->transform(CLI::AsSizeValue(false));
  command->add_option("--profile", options->profile, "TRACE.json: every step of the run as a Chrome trace; prints the time by operator");
  command->add_option("--cache", options->cache, "a folder that keeps prepared models: opening one again only maps it");
  command->callback([options, &run] { run = [options] { return run_model(*options); }; });
}

}  // namespace outpost::cli
