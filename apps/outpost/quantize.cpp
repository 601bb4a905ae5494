// outpost quantize: a float model becomes int8 or int4 where that pays. Every layer is measured by itself, error and
// speed; what errs too much or gains nothing stays float. The result is ONNX that other runtimes read.
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <set>

#include "base/text.h"
#include "calibration.h"
#include "configuration.h"
#include "detect.h"
#include "formats/onnx/onnx.h"
#include "ops/op.h"
#include "passes/passes.h"
#include "passes/quantise.h"
#include "quantize_layers.h"
#include "shapes.h"
#include "subcommands.h"
#include "terminal.h"

namespace outpost::cli {
namespace {

struct Options {
  std::string model, out, data, mode = "static", range = "minmax", config;
  std::vector<std::string> keep, shapes;
  double percentile = 99.99, max_error = 0.1, min_speedup = 1.0;
  size_t samples = 128;
  int64_t block = 32;
  bool all = false, json = false;
  ImageSpec image;
};

struct Row {
  std::string layer, op, decision;
  LayerMeasure measure;
};

Scheme scheme_of(const std::string& mode) { return mode == "static" ? Scheme::static_int8 : mode == "dynamic" ? Scheme::dynamic_int8 : Scheme::int4; }

// What is written holds operators of ONNX alone, in versions that runtimes of some years know.
std::shared_ptr<Graph> prepared_graph(const Model& model) {
  std::shared_ptr<Graph> graph = model.graph()->clone();
  optimise(*graph, {.off = session_options().passes_off, .last = Stage::simplify});
  fold_affine(*graph);
  graph->remove_dead();
  return graph;
}

bool matches(const std::string& name, const std::string& pattern) {  // '*' stands for anything
  const size_t star = pattern.find('*');
  if (star == pattern.npos) return name == pattern;
  const std::string head = pattern.substr(0, star), tail = pattern.substr(star + 1);
  return name.size() >= head.size() + tail.size() && name.starts_with(head) && name.ends_with(tail);
}

std::string name_of(const Node& n) { return n.name.empty() ? n.output(0)->name : n.name; }

// ---- calibration: the model run with the values to observe as outputs

class Calibration {
 public:
  Calibration(Graph& graph, const std::vector<Sample>& samples) : values_(values_to_observe(graph)), observers_(values_.size()) {
    std::unordered_map<const Value*, Value*> copies;
    std::shared_ptr<Graph> watched = graph.clone(&copies);
    watched->outputs.clear(), watched->output_names.clear();
    for (const Value* v : values_) {
      watched->outputs.push_back(copies.at(v));
      watched->output_names.push_back(text("value ", watched->outputs.size()));
    }
    const Session session(Model(watched), session_options());
    Progress progress("calibrating");
    for (size_t i = 0; i < samples.size(); ++i) {
      std::vector<NamedDatum> inputs;
      for (const auto& [name, value] : samples[i]) inputs.push_back({name, value});
      const Outputs results = session.run(inputs);
      for (size_t v = 0; v < values_.size(); ++v) {
        const Tensor& t = results[v];
        if (i == 0) first_.push_back(t);
        if (observers_[v].add(t) > 0)
          fail(ErrorCode::invalid_data, "sample ", i, ": '", values_[v]->name, "' is not finite somewhere; the model cannot be calibrated on it");
      }
      progress.update(double(i + 1) / double(samples.size()));
    }
  }

  Ranges ranges(RangeMethod method, double percentile) const {
    Ranges all;
    for (size_t i = 0; i < values_.size(); ++i)
      if (!observers_[i].empty()) all[values_[i]] = scale_for(observers_[i].range(method, percentile));
    return all;
  }
  // What the first sample gave.
  const Tensor* seen(const Value* v) const {
    const auto at = std::find(values_.begin(), values_.end(), v);
    return at == values_.end() ? nullptr : &first_[static_cast<size_t>(at - values_.begin())];
  }

 private:
  std::vector<Value*> values_;
  std::vector<RangeObserver> observers_;
  std::vector<Tensor> first_;
};

// ---- decisions

std::string decide(const Options& o, const LayerMeasure& m) {
  if (m.error > o.max_error) return "float: error";
  return m.speedup() < o.min_speedup ? "float: slower" : o.mode == "int4" ? "int4" : "int8";
}

std::set<const Node*> choose(const Options& o, Graph& graph, const Calibration& seen, const Ranges& ranges, std::vector<Row>& rows) {
  std::set<const Node*> chosen;
  const Scheme scheme = scheme_of(o.mode);
  std::vector<QuantisableLayer> layers = quantisable_layers(graph);
  if (scheme != Scheme::static_int8) std::erase_if(layers, [](const QuantisableLayer& l) { return l.node->op == "Conv"; });
  if (layers.empty())
    fail(ErrorCode::unsupported, "the model has no ", scheme == Scheme::static_int8 ? "Conv, Gemm or MatMul" : "Gemm or MatMul", " with constant f32 weights to quantise");
  Progress progress("measuring layers");
  for (size_t i = 0; i < layers.size(); ++i) {
    const QuantisableLayer& l = layers[i];
    Row row{name_of(*l.node), l.node->op, "", {}};
    const Tensor* x = seen.seen(l.input);
    const bool ranged = scheme != Scheme::static_int8 || (ranges.contains(l.input) && ranges.contains(l.output));
    if (std::any_of(o.keep.begin(), o.keep.end(), [&](const std::string& p) { return matches(row.layer, p); })) {
      row.decision = "float: kept";
    } else if (!x || !ranged || x->count() == 0) {
      row.decision = "float: not reached";
    } else {
      row.measure = measure_layer(l, *x, scheme, ranges, o.block);
      row.decision = o.all ? (o.mode == "int4" ? "int4" : "int8") : decide(o, row.measure);
    }
    if (!row.decision.starts_with("float")) chosen.insert(l.node);
    rows.push_back(std::move(row));
    progress.update(double(i + 1) / double(layers.size()));
  }
  return chosen;
}

// ---- the whole

struct Total {
  double float_ms = 0, quantised_ms = 0, error = 0, same_class = -1;
  std::string speed_note;
};

std::vector<NamedDatum> inputs_of(const Sample& sample) {
  std::vector<NamedDatum> inputs;
  for (const auto& [name, value] : sample) inputs.push_back({name, value});
  return inputs;
}

int64_t largest(const Tensor& t) { return std::max_element(t.data<float>(), t.data<float>() + t.count()) - t.data<float>(); }

// Both models on up to 32 of the samples: the worst output's mean error; how often a single row of scores names the same class.
Total compare(const Model& before, const Model& after, const std::vector<Sample>& samples) {
  SessionOptions options = session_options();
  options.threads = 1;
  const Session a(before, options), b(after, options);
  const size_t count = std::min<size_t>(samples.size(), 32);
  std::vector<double> errors(before.outputs().size(), 0);
  size_t same = 0, compared = 0;
  for (size_t i = 0; i < count; ++i) {
    const Outputs x = a.run(inputs_of(samples[i])), y = b.run(inputs_of(samples[i]));
    for (size_t o = 0; o < errors.size(); ++o) {
      if (x.datum(o).kind() != Datum::Kind::tensor || x[o].dtype() != DType::f32 || x[o].shape() != y[o].shape() || x[o].count() == 0) continue;
      errors[o] += relative_error(x[o], y[o]) / double(count);
      if (o == 0 && x[o].rank() == 2 && x[o].shape()[0] == 1 && x[o].count() > 1) ++compared, same += largest(x[o]) == largest(y[o]);
    }
  }
  Total t;
  t.error = errors.empty() ? 0 : *std::max_element(errors.begin(), errors.end());
  if (compared > 0) t.same_class = double(same) / double(compared);
  Binding left(a), right(b);
  for (const auto& [name, value] : samples[0]) left.input(name, value), right.input(name, value);
  std::tie(t.float_ms, t.quantised_ms) = time_both(left, right, 0.5);
  return t;
}

std::string percent(double v) {
  char buffer[32];
  std::snprintf(buffer, sizeof buffer, "%.2f %%", v * 100);
  return buffer;
}

std::string times(double v) {
  char buffer[32];
  std::snprintf(buffer, sizeof buffer, "%.2f×", v);
  return buffer;
}

void print(const Options& o, const std::vector<Row>& rows, const Total& t, size_t samples, double before, double after) {
  std::vector<std::vector<std::string>> cells = {{"layer", "operator", "error", "speed-up", "decision"}};
  for (const Row& r : rows) {
    const bool measured = r.measure.float_ms > 0;
    cells.push_back({r.layer, r.op, measured ? percent(r.measure.error) : "-", measured ? times(r.measure.speedup()) : "-", r.decision});
  }
  std::fputs(table(cells).c_str(), stdout);
  const auto quantised = std::count_if(rows.begin(), rows.end(), [](const Row& r) { return !r.decision.starts_with("float"); });
  std::printf("%td of %zu layers quantised, on %zu samples\n", quantised, rows.size(), samples);
  std::printf("time  %s -> %s  (%s, one thread)\n", human_ms(t.float_ms).c_str(), human_ms(t.quantised_ms).c_str(), times(t.float_ms / t.quantised_ms).c_str());
  std::printf("size  %s -> %s\n", human_bytes(before).c_str(), human_bytes(after).c_str());
  std::printf("output error  %s of its size\n", percent(t.error).c_str());
  if (t.same_class >= 0) std::printf("same class  %s\n", percent(t.same_class).c_str());
  std::printf("written to %s\n", o.out.c_str());
}

// What layers measured one by one do not show: errors that add up, and conversions between float and quantised parts.
void warn(const Total& t) {
  if (t.error > 0.1)
    std::fprintf(stderr, "warning: the whole model's output moved by %s; calibrate with the preparation that it was trained on, or keep "
                 "layers in float (--max-error, --keep)\n", percent(t.error).c_str());
  if (t.quantised_ms > t.float_ms)
    std::fprintf(stderr, "warning: the quantised model is slower than the float one on this machine (%s)\n", times(t.float_ms / t.quantised_ms).c_str());
}

void print_json(const Options& o, const std::vector<Row>& rows, const Total& t, size_t samples, double before, double after) {
  nlohmann::ordered_json layers = nlohmann::ordered_json::array();
  for (const Row& r : rows)
    layers.push_back({{"layer", r.layer}, {"operator", r.op}, {"error", r.measure.error}, {"float_ms", r.measure.float_ms},
                      {"quantised_ms", r.measure.quantised_ms}, {"speedup", r.measure.speedup()}, {"decision", r.decision}});
  nlohmann::ordered_json all = {{"model", o.model}, {"out", o.out}, {"mode", o.mode}, {"range", o.range}, {"samples", samples}, {"layers", layers},
                                {"float_ms", t.float_ms}, {"quantised_ms", t.quantised_ms}, {"float_bytes", before}, {"quantised_bytes", after},
                                {"output_error", t.error}};
  if (t.same_class >= 0) all["same_class"] = t.same_class;
  std::printf("%s\n", all.dump(1, ' ', false, nlohmann::json::error_handler_t::replace).c_str());
}

// As others want it: names that occur once, and the pairs in the older form that suffices.
void settle(Graph& graph) {
  std::set<std::string> names;
  for (const auto& n : graph.nodes()) {
    if (n->domain.empty() && (n->op == "QuantizeLinear" || n->op == "DequantizeLinear")) n->version = 21;
    for (int i = 0; n->name.empty() || !names.insert(n->name).second; ++i)
      n->name = n->op + "_" + n->output(0)->name + (i ? "_" + std::to_string(i) : "");
  }
}

std::vector<Sample> samples_for(const Options& o, const Model& model) {
  if (!o.data.empty()) return load_samples(o.data, model, o.image, o.samples);
  if (o.mode == "static") fail(ErrorCode::invalid_argument, "static quantisation needs calibration data: --data FOLDER");
  Sample sample;
  const std::vector<Shape> shapes = input_shapes(model, o.shapes);
  for (size_t i = 0; i < shapes.size(); ++i) {
    const ValueInfo& in = model.inputs()[i];
    if (in.type.kind != TypeInfo::Kind::tensor) fail(ErrorCode::unsupported, "input '", in.name, "' cannot be made up; give --data");
    sample.emplace_back(in.name, stand_in(in.type.dtype, shapes[i]));
  }
  return {sample};
}

int quantise_model(Options o) {
  if (const auto path = o.config.empty() ? sidecar_of(o.model) : std::optional(o.config)) o.image.complete_with(load_sidecar(*path).image);
  const Model model = Model::load(o.model);
  if (const Detector* d = guess_detector(model)) o.image.complete_with(d->image);  // its own way with pictures
  const std::vector<Sample> samples = samples_for(o, model);
  std::shared_ptr<Graph> graph = prepared_graph(model);
  const Scheme scheme = scheme_of(o.mode);
  const Calibration calibration(*graph, samples);
  const RangeMethod method = o.range == "percentile" ? RangeMethod::percentile : o.range == "mse" ? RangeMethod::mse : RangeMethod::minmax;
  const Ranges ranges = calibration.ranges(method, o.percentile);
  std::vector<Row> rows;
  const std::set<const Node*> chosen = choose(o, *graph, calibration, ranges, rows);
  if (scheme == Scheme::static_int8) quantise_static(*graph, chosen, ranges);
  else if (scheme == Scheme::dynamic_int8) quantise_dynamic(*graph, chosen);
  else quantise_int4(*graph, chosen, o.block);
  graph->remove_dead();
  settle(*graph);
  save_onnx(*graph, o.out);
  const Total total = compare(model, Model::load(o.out), samples);
  const auto before = static_cast<double>(std::filesystem::file_size(o.model)), after = static_cast<double>(std::filesystem::file_size(o.out));
  (o.json ? print_json : print)(o, rows, total, samples.size(), before, after);
  warn(total);
  return 0;
}

}  // namespace

void add_quantize(CLI::App& program, Run& run) {
  auto o = std::make_shared<Options>();
  auto* command = program.add_subcommand("quantize", "Rewrite a model in int8 or int4 where that pays, layer by layer");
  command->footer("Examples:\n"
                  "  outpost quantize model.onnx --data photos/ --preprocess imagenet --out model.int8.onnx\n"
                  "  outpost quantize bert.onnx --data sentences/ --range mse --out bert.int8.onnx\n"
                  "  outpost quantize llm.onnx --mode int4 --out llm.int4.onnx");
  command->add_option("MODEL", o->model, "an ONNX file in f32")->required();
  command->add_option("--out,-o", o->out, "where to write the result")->required();
  command->add_option("--data", o->data, "a folder of pictures, .npy or .npz files (or one file) to calibrate on");
  command->add_option("--mode", o->mode, "static: int8 with fixed ranges; dynamic: int8 with each run's own (Gemm, MatMul); int4: weights only")
      ->capture_default_str()->check(CLI::IsMember({"static", "dynamic", "int4"}));
  command->add_option("--range", o->range, "how ranges follow from what was seen: minmax, percentile or mse")->capture_default_str()->check(CLI::IsMember({"minmax", "percentile", "mse"}));
  command->add_option("--percentile", o->percentile, "of values that the range holds, with --range percentile")->capture_default_str()->check(CLI::Range(50.0, 100.0));
  command->add_option("--samples", o->samples, "the most samples to calibrate on")->capture_default_str()->check(CLI::Range(1, 1000000));
  command->add_option("--block", o->block, "int4: weights that share a scale")->capture_default_str()->check(CLI::IsMember({16, 32, 64, 128, 256}));
  command->add_option("--max-error", o->max_error, "a layer whose output errs by a larger share stays float")->capture_default_str()->check(CLI::NonNegativeNumber);
  command->add_option("--min-speedup", o->min_speedup, "a layer that gains less stays float")->capture_default_str()->check(CLI::NonNegativeNumber);
  command->add_option("--keep", o->keep, "layers to leave in float, by name; * stands for anything")->delimiter(',');
  command->add_flag("--all", o->all, "quantise every layer, whatever is measured");
  command->add_option("--shape", o->shapes, "NAME=1x128: the shape of an input made up (without --data)");
  command->add_option("--config", o->config, "a TOML file that says how pictures are prepared (default: MODEL.toml, if there is one)");
  add_image_flags(*command, o->image);
  command->add_flag("--json", o->json, "the table and the totals as JSON");
  command->callback([o, &run] { run = [o] { return quantise_model(*o); }; });
}

}  // namespace outpost::cli
