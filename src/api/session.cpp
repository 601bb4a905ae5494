// Session: a model optimised and compiled; a run by names.
#include "outpost/session.h"

#include <algorithm>
#include <chrono>

#include "api/configuration.h"
#include "api/session_data.h"
#include "base/log.h"
#include "base/mapped_file.h"
#include "base/text.h"
#include "base/thread_pool.h"
#include "passes/passes.h"
#include "runtime/model_cache.h"

namespace outpost {
namespace {

constexpr int most_threads = 1024;

bool draws_random(const Graph& graph) {
  bool random = false;
  for (const auto& node : graph.nodes()) {
    random |= node->def && node->def->random;
    for_each_subgraph(*node, [&](const std::string&, const std::shared_ptr<Graph>& g) { random |= draws_random(*g); });
  }
  return random;
}

// Passes that computed with weights read them in the mapped file; what still needs them reads them again.
void release_read_pages(const Graph& graph) {
  for (const auto& v : graph.values())
    if (v->is_constant()) MappedFile::release_pages(v->stored().raw(), v->stored().bytes());
}

ProgramOptions program_options(const SessionOptions& o) { return {.threads = o.threads, .cached_layouts = o.cached_plans, .debug_fill = o.debug_fill}; }

// The options that change the optimised graph or what operators pack.
std::string what_decides(const SessionOptions& o) {
  std::string words = text("precision ", static_cast<int>(o.precision), " without");
  for (const std::string& pass : o.passes_off) words += text(' ', pass);
  return words;
}

// From what an earlier opening kept, or null.
std::shared_ptr<const Program> reopen(ModelCache& cache, const SessionOptions& options) {
  const std::shared_ptr<Graph> graph = cache.load(options.verify_cache);
  if (!graph) return nullptr;
  try {
    return Program::compile(graph, program_options(options), {.store = &cache, .let_go = true});
  } catch (const Error& error) {
    cache.distrust(error.what());
    return nullptr;
  }
}

SessionOptions settled(SessionOptions options) {
  if (options.threads < 0 || options.threads > most_threads)
    fail(ErrorCode::invalid_argument, "threads is ", options.threads, "; use 0 (all) to ", most_threads);
  const SessionDefaults& defaults = session_defaults();
  if (options.threads == 0) options.threads = defaults.threads ? defaults.threads : ThreadPool::hardware_threads();
  if (options.passes_off.empty()) options.passes_off = defaults.passes_off;
  options.debug_fill |= defaults.debug_fill;
  options.cached_plans = std::clamp(options.cached_plans, 1, 4096);
  return options;
}

}  // namespace

Session::Session(const Model& model, const SessionOptions& options) : data_(std::make_shared<Data>(model, settled(options))) {
  Data& d = *data_;
  const auto begin = std::chrono::steady_clock::now();
  std::unique_ptr<ModelCache> cache;
  if (!d.options.cache_directory.empty()) cache = std::make_unique<ModelCache>(d.options.cache_directory, *model.graph(), what_decides(d.options));
  if (cache) d.program = reopen(*cache, d.options);
  if (d.program) {
    const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - begin;
    d.passes.push_back({"cached", 0, took.count()});
  } else {
    std::shared_ptr<Graph> graph = model.graph()->clone();
    for (const PassReport& r : optimise(*graph, {.off = d.options.passes_off})) d.passes.push_back({std::string(r.name), r.changes, r.milliseconds});
    if (d.options.precision == Precision::bf16) compute_in_bf16(*graph);
    release_read_pages(*model.graph());
    PackedArena arena;
    d.program = Program::compile(graph, program_options(d.options), {.store = cache ? static_cast<PackedStore*>(cache.get()) : &arena, .let_go = true});
    if (cache) cache->save(*graph);
  }
  d.stateful = !d.program->graph().states.empty() || draws_random(d.program->graph());
  d.outputs = std::make_shared<const std::vector<ValueInfo>>(model.outputs());
  d.own = new_state();
  log(LogLevel::info, "model '", model.name(), "' is ready: ", d.program->steps().size(), " steps, ", d.options.threads, " threads");
}

const std::vector<ValueInfo>& Session::inputs() const noexcept { return data_->model.inputs(); }
const std::vector<ValueInfo>& Session::outputs() const noexcept { return data_->model.outputs(); }
const SessionOptions& Session::options() const noexcept { return data_->options; }
const std::vector<PassInfo>& Session::passes() const noexcept { return data_->passes; }
const Program& Session::program() const noexcept { return *data_->program; }

Outputs Session::run(std::span<const NamedDatum> inputs, const RunOptions& options) const { return run(inputs, {}, options); }

Outputs Session::run(std::span<const NamedDatum> inputs, std::span<const NamedDatum> outputs, const RunOptions& options) const {
  const std::vector<ValueInfo>& declared = data_->model.inputs();
  std::vector<const Datum*> given(declared.size(), nullptr);
  for (const NamedDatum& in : inputs) {
    const Datum*& slot = given[position(declared, in.name, "input")];
    if (slot) fail(ErrorCode::invalid_argument, "input '", in.name, "' is given twice");
    slot = &in.value;
  }
  for (size_t i = 0; i < given.size(); ++i)
    if (!given[i]) fail(ErrorCode::invalid_argument, "input '", declared[i].name, "' is missing; the model expects ", to_string(declared[i].type));
  Outputs results;
  results.infos_ = data_->outputs;
  results.values_.resize(data_->outputs->size());
  const auto bound = outputs.empty() ? nullptr : std::make_unique<bool[]>(results.values_.size());
  for (const NamedDatum& out : outputs) {
    const size_t i = position(*data_->outputs, out.name, "output");
    results.values_[i] = out.value;
    bound[i] = true;
  }
  data_->run(given, results.values_, {bound.get(), bound ? results.values_.size() : 0}, options);
  return results;
}

const Datum& Outputs::datum(size_t index) const {
  if (index >= values_.size()) fail(ErrorCode::not_found, "output ", index, " was asked for; there are ", values_.size());
  return values_[index];
}

const Datum& Outputs::datum(std::string_view name) const {
  static const std::vector<ValueInfo> none;
  return values_[position(infos_ ? *infos_ : none, name, "output")];
}

const std::string& Outputs::name(size_t index) const {
  datum(index);
  return (*infos_)[index].name;
}

}  // namespace outpost
