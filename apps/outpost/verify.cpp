// outpost verify: runs ONNX test cases and compares outputs.
//
// A case is a folder with model.onnx and test_data_set_*/{input,output}_N.pb, or a file X.onnx beside X_output_0.pb (the
// suite's light models). The latter have no input files: as in ONNX's runner every float input is 0/n, 1/n, … (n-1)/n
// in its shape, where a symbolic dim is 1.
#include <CLI/CLI.hpp>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <unordered_set>

#include "base/text.h"
#include "base/thread_pool.h"
#include "compare.h"
#include "formats/onnx/onnx.h"
#include "ops/op.h"
#include "ops/upgrade.h"
#include "passes/passes.h"
#include "runtime/program.h"
#include "subcommands.h"

namespace outpost::cli {
namespace {

namespace fs = std::filesystem;

struct Options {
  std::vector<std::string> folders;
  Tolerance tolerance;
  int threads = 1;
  bool json = false, list = false;
};

struct Case {
  std::string name;
  fs::path model;
  std::vector<fs::path> data_sets;  // folders; empty for light models
};

enum class Status { passed, failed, skipped };

struct Result {
  Status status = Status::passed;
  std::string reason;
  double largest_error = 0;
};

// --- finding cases ---

std::vector<fs::path> sorted_entries(const fs::path& folder) {
  std::vector<fs::path> entries;
  for (const auto& entry : fs::directory_iterator(folder)) entries.push_back(entry.path());
  std::sort(entries.begin(), entries.end());
  return entries;
}

fs::path light_output(const fs::path& model, size_t i) {
  return model.parent_path() / text(model.stem().string(), "_output_", i, ".pb");
}

void find_cases(const fs::path& folder, std::vector<Case>& cases) {
  if (fs::exists(folder / "model.onnx")) {
    Case found{(fs::absolute(folder) / "").lexically_normal().parent_path().filename().string(), folder / "model.onnx", {}};
    for (const auto& path : sorted_entries(folder))
      if (path.filename().string().starts_with("test_data_set_")) found.data_sets.push_back(path);
    cases.push_back(std::move(found));
    return;
  }
  for (const auto& path : sorted_entries(folder)) {
    if (fs::is_directory(path)) find_cases(path, cases);
    else if (path.extension() == ".onnx" && fs::exists(light_output(path, 0))) cases.push_back({path.stem().string(), path, {}});
  }
}

// --- running one ---

class Model {
 public:
  Model(const fs::path& path, int threads) {
    auto graph = load_onnx(path);
    for (const auto* input : graph->inputs()) input_types_.push_back(input->type);
    for (const auto* output : graph->outputs) output_kinds_.push_back(output->type.kind);  // as declared: so are the .pb files
    upgrade_graph(*graph);
    optimise(*graph);
    find_random_values(*graph);
    program_ = Program::compile(graph, {.threads = threads});
  }

  const std::vector<Type>& input_types() const { return input_types_; }
  Type::Kind output_kind(size_t i) const { return output_kinds_.at(i); }
  size_t outputs() const { return output_kinds_.size(); }
  const std::string& output_name(size_t i) const { return program_->graph().output_name(i); }
  bool is_random(size_t i) const { return random_.count(program_->graph().outputs[i]) > 0; }

  std::vector<Datum> run(const std::vector<Datum>& inputs) const {
    std::vector<const Datum*> pointers;
    for (const auto& input : inputs) pointers.push_back(&input);
    std::vector<Datum> outputs(this->outputs());
    auto state = program_->new_state(0);
    program_->run(pointers, outputs, {}, state, {});
    return outputs;
  }

 private:
  static bool makes_random(const Node& node) {
    bool random = node.def && node.def->random;
    for_each_subgraph(node, [&](const std::string&, const std::shared_ptr<Graph>& body) {
      for (const auto& inner : body->nodes()) random = random || makes_random(*inner);
    });
    return random;
  }

  // Everything that depends on a random node.
  void find_random_values(const Graph& graph) {
    for (const auto& node : graph.nodes()) {
      bool random = makes_random(*node);
      for (const auto* input : node->inputs()) random = random || random_.count(input);
      if (random) random_.insert(node->outputs().begin(), node->outputs().end());
    }
  }

  std::shared_ptr<const Program> program_;
  std::vector<Type> input_types_;
  std::vector<Type::Kind> output_kinds_;
  std::unordered_set<const Value*> random_;
};

Tensor light_input(const Type& type) {
  if (!type.is_tensor() || type.dtype != DType::f32 || !type.ranked)
    fail(ErrorCode::unsupported, "a light model's input is ", type, ", expected an f32 tensor");
  Shape shape;
  for (const auto& dim : type.dims) shape.push_back(dim.known() ? dim.size : 1);
  Tensor tensor(DType::f32, shape);
  auto values = tensor.values<float>();
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(static_cast<double>(i) / static_cast<double>(values.size()));
  return tensor;
}

std::vector<Datum> read_inputs(const Model& model, const fs::path& data_set) {
  std::vector<Datum> inputs;
  for (size_t i = 0; i < model.input_types().size(); ++i) {
    auto path = data_set / text("input_", i, ".pb");
    if (!fs::exists(path)) fail(ErrorCode::not_found, path.string(), " is missing: the model has ", model.input_types().size(), " inputs");
    inputs.push_back(load_onnx_value(path, model.input_types()[i].kind));
  }
  return inputs;
}

void check_outputs(const Model& model, const std::vector<Datum>& outputs, const std::function<fs::path(size_t)>& file,
                   const Options& options, Result& result) {
  for (size_t i = 0; i < outputs.size(); ++i) {
    if (!fs::exists(file(i))) continue;
    auto expected = load_onnx_value(file(i), model.output_kind(i));
    auto tolerance = options.tolerance;
    tolerance.values = !model.is_random(i);
    auto comparison = compare(outputs[i], expected, tolerance);
    result.largest_error = std::max(result.largest_error, comparison.largest_error);
    if (comparison.problem.empty()) continue;
    result.status = Status::failed;
    result.reason += text(result.reason.empty() ? "" : "; ", "output ", i, " '", model.output_name(i), "': ", comparison.problem);
  }
}

Result run_case(const Case& test, const Options& options) {
  Result result;
  try {
    const bool light = fs::exists(light_output(test.model, 0));
    if (!light && test.data_sets.empty()) return {Status::skipped, "no test_data_set_*", 0};
    Model model(test.model, options.threads);
    for (const auto& folder : test.data_sets)
      check_outputs(model, model.run(read_inputs(model, folder)), [&](size_t i) { return folder / text("output_", i, ".pb"); }, options, result);
    if (light) {
      std::vector<Datum> inputs;
      for (const auto& type : model.input_types()) inputs.push_back(light_input(type));
      check_outputs(model, model.run(inputs), [&](size_t i) { return light_output(test.model, i); }, options, result);
    }
  } catch (const std::exception& error) {
    result.status = Status::failed;
    result.reason = error.what();
  }
  return result;
}

// --- the command ---

std::string_view name_of(Status status) {
  constexpr std::string_view names[] = {"passed", "failed", "skipped"};
  return names[static_cast<int>(status)];
}

int verify(const Options& options) {
  std::vector<Case> cases;
  for (const auto& folder : options.folders) {
    if (!fs::is_directory(folder)) fail(ErrorCode::not_found, "'", folder, "' is not a folder");
    find_cases(folder, cases);
  }
  if (cases.empty()) fail(ErrorCode::not_found, "no case (model.onnx beside test_data_set_*/) under '", options.folders.front(), "'");
  size_t counts[3] = {};
  auto report = nlohmann::json::array();
  for (const auto& test : cases) {
    auto result = run_case(test, options);
    ++counts[static_cast<int>(result.status)];
    if (options.json) {
      report.push_back({{"name", test.name}, {"status", name_of(result.status)}, {"reason", result.reason}, {"largest_error", result.largest_error}});
    } else if (result.status != Status::passed || options.list) {
      auto line = text(name_of(result.status), " ", test.name, result.reason.empty() ? "" : ": ", result.reason);
      if (result.status == Status::passed) line += text(" (largest error ", result.largest_error, ")");
      std::printf("%s\n", line.c_str());
      std::fflush(stdout);
    }
  }
  if (options.json) {
    nlohmann::json all{{"cases", report}, {"passed", counts[0]}, {"failed", counts[1]}, {"skipped", counts[2]}};
    std::printf("%s\n", all.dump(2, ' ', false, nlohmann::json::error_handler_t::replace).c_str());
  } else {
    std::printf("%zu passed, %zu failed, %zu skipped\n", counts[0], counts[1], counts[2]);
  }
  return counts[1] > 0 ? 1 : 0;
}

}  // namespace

void add_verify(CLI::App& program, Run& run) {
  auto options = std::make_shared<Options>();
  auto* command = program.add_subcommand("verify", "Run ONNX test cases and compare their outputs");
  command->footer("Example: outpost verify onnx/backend/test/data/node --rtol 1e-3 --atol 1e-5");
  command->add_option("DIR", options->folders, "a case (model.onnx, test_data_set_*/) or a folder of cases")->required();
  command->add_option("--rtol", options->tolerance.relative, "relative tolerance")->capture_default_str();
  command->add_option("--atol", options->tolerance.absolute, "absolute tolerance")->capture_default_str();
  command->add_option("--threads", options->threads, "threads of a run")->capture_default_str()->check(CLI::Range(1, 1024));
  command->add_flag("--list", options->list, "a line for every case, passed ones too");
  command->add_flag("--json", options->json, "the report as JSON");
  command->callback([options, &run] { run = [options] { return verify(*options); }; });
}

}  // namespace outpost::cli
