// outpost tour: what Outpost does, on a model and a picture: the graph, the plan, a run, the answer in words and as a
// picture in the terminal, timings. Without arguments on a model and a picture that the program makes itself.
#include <CLI/CLI.hpp>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <map>
#include <memory>
#include <numeric>

#include "base/text.h"
#include "configuration.h"
#include "draw.h"
#include "formats/onnx/onnx.h"
#include "graph/text.h"
#include "outpost/outpost.h"
#include "picture.h"
#include "shapes_model.h"
#include "subcommands.h"
#include "terminal.h"
#include "values.h"

namespace outpost::cli {
namespace {

struct Options {
  std::string model, photo, save;
  uint64_t seed = 0;
};

constexpr size_t nodes_shown = 24;

void title(const std::string& words) {
  std::printf("%s%s%s\n", takes_colour() ? "\n\033[1m" : "\n", words.c_str(), takes_colour() ? "\033[0m" : "");
}

void count_operators(const Graph& graph, std::map<std::string, int>& counts) {
  for (const auto& node : graph.nodes()) {
    ++counts[node->op];
    for_each_subgraph(*node, [&](const std::string&, const std::shared_ptr<Graph>& body) { count_operators(*body, counts); });
  }
}

void show_graph(const Model& model) {
  for (const ValueInfo& v : model.inputs()) std::printf("  in   %s  %s\n", v.name.c_str(), to_string(v.type).c_str());
  for (const ValueInfo& v : model.outputs()) std::printf("  out  %s  %s\n", v.name.c_str(), to_string(v.type).c_str());
  std::printf("  %zu nodes, %s parameters\n", model.graph()->nodes().size(), human_count(static_cast<double>(model.parameter_count())).c_str());
  if (model.graph()->nodes().size() <= nodes_shown) {
    for (const auto& node : model.graph()->nodes()) std::printf("    %s\n", to_text(*node).c_str());
    return;
  }
  std::map<std::string, int> counts;
  count_operators(*model.graph(), counts);
  std::vector<std::pair<int, std::string>> order;
  for (const auto& [op, count] : counts) order.emplace_back(count, op);
  std::sort(order.rbegin(), order.rend());
  std::string line;
  for (const auto& [count, op] : order) line += text(line.empty() ? "" : ", ", count, " ", op);
  std::printf("    %s\n", line.c_str());
}

void show_plan(const Session& session, const std::vector<Shape>& shapes) {
  const PlanInfo plan = session.plan(shapes);
  int changes = 0;
  for (const PassInfo& p : session.passes()) changes += p.changes;
  std::printf("  %d changes by %zu passes leave %zu steps\n", changes, session.passes().size(), plan.steps.size());
  std::printf("  %s floating-point operations; weights %s; one arena of %s for all intermediate values (the most alive at once: %s)\n", human_count(plan.flops).c_str(),
              human_bytes(static_cast<double>(plan.weights_bytes)).c_str(), human_bytes(static_cast<double>(plan.arena_bytes)).c_str(),
              human_bytes(static_cast<double>(plan.live_bytes)).c_str());
  if (plan.steps.size() > nodes_shown) return;
  std::vector<std::vector<std::string>> rows;
  for (const PlanInfo::Step& s : plan.steps) rows.push_back({"  " + s.op, s.outputs.empty() ? "" : s.outputs[0], human_count(s.flops)});
  std::fputs(table(rows).c_str(), stdout);
}

bool same_bits(const Outputs& a, const Outputs& b) {
  for (size_t i = 0; i < a.size(); ++i) {
    if (a.datum(i).kind() != Datum::Kind::tensor || a[i].dtype() == DType::string) continue;
    if (a[i].bytes() != b[i].bytes() || std::memcmp(a[i].raw(), b[i].raw(), a[i].bytes()) != 0) return false;
  }
  return true;
}

void show_timings(const Model& model, const Session& session, const std::vector<NamedDatum>& inputs, double open_ms, double first_ms) {
  constexpr double time_for_runs = 1.0;
  constexpr size_t most_runs = 200;
  std::vector<double> ms;
  const double until = seconds_now() + time_for_runs;
  while (ms.size() < 3 || (ms.size() < most_runs && seconds_now() < until)) {
    const double begin = seconds_now();
    session.run(inputs);
    ms.push_back((seconds_now() - begin) * 1e3);
  }
  std::sort(ms.begin(), ms.end());
  std::printf("  opened in %s, first run %s, then %s (median of %zu) on %d %s\n", human_ms(open_ms).c_str(), human_ms(first_ms).c_str(),
              human_ms(ms[ms.size() / 2]).c_str(), ms.size(), session.options().threads, session.options().threads == 1 ? "thread" : "threads");
  SessionOptions options = session_options();
  const auto run_with = [&](int threads) {
    options.threads = threads;
    return Session(model, options).run(inputs);
  };
  if (session.new_state().names().empty()) std::printf("  1 and 3 threads give %s\n", same_bits(run_with(1), run_with(3)) ? "the same bits" : "different bits (random by design?)");
}

std::vector<NamedDatum> arguments_of(const Inputs& inputs) {
  std::vector<NamedDatum> arguments;
  for (const auto& [name, value] : inputs.values) arguments.push_back({name, value});
  return arguments;
}

// A plane of floats as a grey picture, its largest value white.
Image grey(const float* values, int width, int height) {
  const float most = std::max(1e-12f, *std::max_element(values, values + static_cast<int64_t>(width) * height));
  Image image(width, height);
  for (size_t i = 0; i < image.rgb.size(); ++i) image.rgb[i] = static_cast<uint8_t>(std::clamp(values[i / 3] / most, 0.f, 1.f) * 255);
  return image;
}

void answer_shapes(const Outputs& results, const Image& drawn, const std::string& truth) {
  const auto p = results["probabilities"].values<float>();
  const size_t best = static_cast<size_t>(std::max_element(p.begin(), p.end()) - p.begin());
  std::vector<std::pair<std::string, double>> entries;
  for (size_t i = 0; i < p.size(); ++i) entries.emplace_back(shape_names()[i], p[i]);
  std::fputs(gallery({{"the picture", drawn}, {"the edges it sees", grey(results["edges"].data<float>(), shapes_side, shapes_side)}}).c_str(), stdout);
  std::printf("\n%s\n  It sees a %s; a %s was drawn.\n", bars(entries).c_str(), shape_names()[best].c_str(), truth.c_str());
}

// What can be said of any model's outputs: boxes, classes, a picture, or numbers.
void answer_any(const Outputs& results, const Inputs& inputs) {
  Frame frame{inputs.picture.seen.width, inputs.picture.seen.height, 0};
  if (const Detector* d = guess_detector(results, frame)) {
    frame.least_score = static_cast<float>(d->score);
    auto found = suppress(d->decode(results, frame), d->iou);
    place(found, inputs.picture.placement, inputs.photo.width, inputs.photo.height);
    const auto labels = d->faces ? std::vector<std::string>{"face"} : coco_labels();
    Image drawn = inputs.photo;
    draw_detections(drawn, found, labels);
    save_png("tour.png", drawn);
    std::fputs(gallery({{"what it found", drawn}}).c_str(), stdout);
    std::map<std::string, int> counts;
    for (const Detection& f : found) ++counts[f.label < static_cast<int>(labels.size()) ? labels[static_cast<size_t>(f.label)] : text("class ", f.label)];
    std::string words;
    for (const auto& [name, count] : counts) words += text(words.empty() ? "" : ", ", count, " x ", name);
    std::printf("\n  It sees %s (as a %.*s detector; drawn to tour.png).\n", words.empty() ? "nothing" : words.c_str(), static_cast<int>(d->name.size()), d->name.data());
    return;
  }
  std::fputs(gallery({{"the picture", inputs.photo}}).c_str(), stdout);
  for (size_t i = 0; i < results.size(); ++i) {
    std::printf("  %s: %s\n", results.name(i).c_str(), describe_datum(results.datum(i)).c_str());
    if (results.datum(i).kind() != Datum::Kind::tensor || results[i].dtype() != DType::f32) continue;
    const Tensor& t = results[i];
    const int64_t classes = t.rank() ? t.shape().back() : 1;
    if (t.count() == classes && classes >= 2 && classes <= 100'000) {
      auto top = likeliest(t, 5);
      std::vector<std::pair<std::string, double>> entries;
      for (const auto& [index, p] : top) entries.emplace_back(text("class ", index), p);
      std::printf("\n%s\n  Its answer is %s.\n", bars(entries).c_str(), entries[0].first.c_str());
    } else if (t.rank() == 4 && t.shape()[0] == 1 && t.shape()[1] == 1 && t.shape()[2] >= 16 && t.shape()[3] >= 16 && t.count() <= most_pixels) {
      std::fputs(gallery({{results.name(i), grey(t.data<float>(), static_cast<int>(t.shape()[3]), static_cast<int>(t.shape()[2]))}}).c_str(), stdout);
    }
  }
}

void take_tour(const Model& model, Inputs inputs, double load_ms, const std::function<void(const Outputs&)>& answer) {
  const double opening = seconds_now();
  const Session session(model, session_options());
  const double open_ms = load_ms + (seconds_now() - opening) * 1e3;
  const auto arguments = arguments_of(inputs);
  std::vector<Shape> shapes;
  for (const ValueInfo& in : model.inputs())
    for (const auto& [name, value] : inputs.values)
      if (name == in.name) shapes.push_back(value.tensor().shape());
  title("The graph");
  show_graph(model);
  title("The plan");
  show_plan(session, shapes);
  title("The answer");
  const double begin = seconds_now();
  const Outputs results = session.run(arguments);
  const double first_ms = (seconds_now() - begin) * 1e3;
  answer(results);
  title("Time");
  show_timings(model, session, arguments, open_ms, first_ms);
}

int tour_own(const Options& o) {
  title("A model made here: the shape in a picture, told by the directions of its edges");
  const double begin = seconds_now();
  const Model model = make_shapes_model();
  const double made = (seconds_now() - begin) * 1e3;
  const uint64_t seed = o.seed ? o.seed : 4;
  const int shape = static_cast<int>(seed * 2654435761u >> 8) & 3;
  Inputs inputs;
  inputs.photo = draw_shape(shape, seed);
  inputs.picture = to_input(inputs.photo, model.inputs()[0], {});
  inputs.values.emplace_back("image", inputs.picture.tensor);
  take_tour(model, inputs, made, [&](const Outputs& results) { answer_shapes(results, inputs.photo, shape_names()[static_cast<size_t>(shape)]); });
  if (!o.save.empty()) save_onnx(*model.graph(), o.save);
  title("Next");
  std::printf("  another picture   outpost tour --seed 8\n  your own model    ./run MODEL.onnx PHOTO.jpg\n  more              outpost --help\n");
  return 0;
}

int tour(const Options& o) {
  if (o.model.empty()) return tour_own(o);
  if (o.photo.empty()) fail(ErrorCode::invalid_argument, "tour: MODEL needs a PHOTO");
  const double begin = seconds_now();
  const Model model = Model::load(o.model);
  const double load_ms = (seconds_now() - begin) * 1e3;
  ImageSpec spec;
  if (const auto path = sidecar_of(o.model)) spec = load_sidecar(*path).image;
  if (const Detector* d = guess_detector(model)) spec.complete_with(d->image);
  if (model.inputs().empty()) fail(ErrorCode::invalid_argument, "the model has no input");
  ImageSpec open;  // where neither model nor side-car says a size
  open.height = open.width = 224;
  for (size_t i : {size_t{2}, size_t{3}})
    if (const auto& shape = model.inputs()[0].type.shape; shape.size() == 4 && shape[i].size >= 0) open = {};
  spec.complete_with(open);
  Inputs inputs;
  read_input(model.inputs()[0].name + "=" + o.photo, model.inputs(), spec, inputs);
  if (!inputs.has_picture) fail(ErrorCode::invalid_argument, "'", o.photo, "' is not a picture");
  if (model.inputs().size() > 1) fail(ErrorCode::unsupported, "the tour takes models of one input; this one has ", model.inputs().size(), ": see outpost run --help");
  title(o.model + " on " + o.photo);
  take_tour(model, inputs, load_ms, [&](const Outputs& results) { answer_any(results, inputs); });
  return 0;
}

}  // namespace

void add_tour(CLI::App& program, Run& run) {
  auto options = std::make_shared<Options>();
  auto* command = program.add_subcommand("tour", "A model opened, explained and run on a picture");
  command->footer("Examples:\n  outpost tour\n  outpost tour yolox.onnx street.jpg");
  command->add_option("MODEL", options->model, "an ONNX file; without one, a model made by the program");
  command->add_option("PHOTO", options->photo, "a picture for it");
  command->add_option("--seed", options->seed, "which picture the program draws");
  command->add_option("--save", options->save, "writes the program's model to an ONNX file");
  command->callback([options, &run] { run = [options] { return tour(*options); }; });
}

}  // namespace outpost::cli
