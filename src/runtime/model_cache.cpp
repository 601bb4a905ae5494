// Keys, and the graph's constants in the file. A constant is printed with the graph when it is small; else a number in
// the text says where it lies: 0 is gone (only its packed form is used), an even number is one of the model's own, an
// odd one a block of the file.
#include "runtime/model_cache.h"

#include <algorithm>
#include <cstdio>
#include <unordered_map>

#include "base/hash.h"
#include "base/log.h"
#include "base/program_identity.h"
#include "base/text.h"
#include "graph/text.h"
#include "kernels/kernels.h"
#include "ops/op.h"

namespace outpost {
namespace {

constexpr size_t printed_bytes = 256;

void collect_constants(const Graph& graph, std::vector<const Tensor*>& all) {
  for (const auto& v : graph.values())
    if (v->is_constant()) all.push_back(&v->stored());
  for (const auto& n : graph.nodes())
    for_each_subgraph(*n, [&](const std::string&, const std::shared_ptr<Graph>& g) { collect_constants(*g, all); });
}

void resolve_all(Graph& graph) {
  for (const auto& n : graph.nodes()) {
    resolve(*n);
    for_each_subgraph(*n, [](const std::string&, const std::shared_ptr<Graph>& g) { resolve_all(*g); });
  }
}

bool printed(const Tensor& t) { return t.dtype() == DType::string || t.bytes() <= printed_bytes || !t.contiguous(); }
bool same_memory(const Tensor& a, const Tensor& b) {
  return a.raw() == b.raw() && a.dtype() == b.dtype() && a.shape() == b.shape() && a.contiguous() && b.contiguous();
}

std::string_view bytes_of(const Tensor& t) { return {static_cast<const char*>(t.raw()), t.bytes()}; }

std::string identity_text(const FileIdentity& f) {
  return text('\n', f.path, ' ', f.device, ' ', f.inode, ' ', f.bytes, ' ', f.modified_ns);
}

uint64_t content_hash(const std::vector<std::shared_ptr<const MappedFile>>& files) {
  constexpr size_t piece = 4 << 20;
  Hash64 hash;
  for (const auto& f : files)
    for (std::string_view rest = f->text(); !rest.empty(); rest.remove_prefix(std::min(piece, rest.size()))) {
      hash.add(rest.data(), std::min(piece, rest.size()));
      MappedFile::release_pages(rest.data(), std::min(piece, rest.size()));
    }
  return hash.value();
}

uint64_t block_name(std::string_view kind, std::string_view key) { return Hash64().add(kind).add(key).value(); }

}  // namespace

ModelCache::ModelCache(const std::filesystem::path& folder, const Graph& model, std::string_view options) {
  collect_constants(model, model_constants_);
  auto describe = [&](const Tensor& t) -> int64_t {  // where weights lie says what they are, without reading them
    if (printed(t)) return -1;
    const auto file = MappedFile::holder(t.raw());
    if (!file) return static_cast<int64_t>(hash64(bytes_of(t)) >> 1);
    auto known = std::find(sources_.begin(), sources_.end(), file);
    if (known == sources_.end()) known = sources_.insert(sources_.end(), file);
    const auto offset = static_cast<const std::byte*>(t.raw()) - file->bytes().data();
    return static_cast<int64_t>(offset) * 64 + (known - sources_.begin()) % 64;
  };
  std::string what = to_text(model, {.full = true, .values = 8, .elsewhere = describe});
  for (const auto& f : sources_) what += identity_text(f->identity());
  what += text('\n', options, '\n', kernels::kernels().isa, '\n', program_identity());
  key_ = {hash64(what), hash64(what, 1)};
  std::string name;
  for (char c : model.name.substr(0, 40)) name += (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ? c : '_';
  char digits[17];
  std::snprintf(digits, sizeof digits, "%016llx", static_cast<unsigned long long>(key_[0]));
  path_ = folder / text(name, '-', digits, ".packed");
}

std::shared_ptr<Graph> ModelCache::load(bool verify) {
  try {
    file_ = PackedFile::open(path_, key_);
    if (!file_) return nullptr;
    if (verify) {
      file_->verify_blocks();
      if (content_hash(sources_) != file_->source_hash()) fail(ErrorCode::invalid_data, "the model's files have changed");
    }
    auto graph = parse_graph(file_->graph_text(), [&](int64_t number, DType dtype, const Shape& shape) {
      const size_t bytes = bytes_for(dtype, checked_count(shape));
      if (number == 0) return Tensor::view(static_cast<void*>(nullptr), dtype, Shape(shape));
      if (number % 2 == 1) {
        const Tensor block = file_->block(block_name("constant", text(number / 2)), bytes);
        if (!block.defined()) fail(ErrorCode::invalid_data, "constant ", number / 2, " is missing");
        return Tensor::share(block.buffer().owner, const_cast<void*>(block.raw()), dtype, Shape(shape));
      }
      const auto index = static_cast<size_t>(number / 2 - 1);
      if (number < 0 || index >= model_constants_.size() || model_constants_[index]->dtype() != dtype || !(model_constants_[index]->shape() == shape))
        fail(ErrorCode::invalid_data, "the model has no constant like number ", index);
      return *model_constants_[index];
    });
    resolve_all(*graph);
    return graph;
  } catch (const Error& error) {
    distrust(error.what());
    return nullptr;
  }
}

void ModelCache::distrust(std::string_view why) {
  log(LogLevel::warning, "cache file '", path_.string(), "' is not used: ", why);
  file_.reset();
}

Tensor ModelCache::packed(std::string_view key, size_t bytes, FunctionRef<void(void*)> fill) {
  const uint64_t name = block_name("packed", key);
  if (file_) {
    Tensor found = file_->block(name, bytes);
    if (!found.defined()) fail(ErrorCode::invalid_data, "packed weights '", key, "' are missing");
    return found;
  }
  Tensor memory = arena_.take(bytes);
  fill(memory.raw());
  std::lock_guard lock(mutex_);
  made_.emplace_back(name, memory);
  return memory;
}

void ModelCache::save(const Graph& optimised) noexcept {
  try {
    std::unordered_map<const void*, int64_t> own;  // constants of the model by address
    for (size_t i = 0; i < model_constants_.size(); ++i) own.emplace(model_constants_[i]->raw(), static_cast<int64_t>(i));
    std::vector<PackedFile::Block> blocks;
    int64_t constants = 0;
    const std::string graph_text = to_text(optimised, {.full = true, .values = 8, .elsewhere = [&](const Tensor& t) -> int64_t {
      if (is_let_go(t)) return 0;
      if (printed(t)) return -1;
      const auto found = own.find(t.raw());
      if (found != own.end() && same_memory(t, *model_constants_[static_cast<size_t>(found->second)])) return 2 * (found->second + 1);
      blocks.push_back({block_name("constant", text(constants)), bytes_of(t)});
      return 2 * constants++ + 1;
    }});
    for (const auto& [name, memory] : made_) blocks.push_back({name, bytes_of(memory)});
    std::filesystem::create_directories(path_.parent_path());
    PackedFile::write(path_, key_, content_hash(sources_), blocks, graph_text);
    log(LogLevel::info, "prepared model kept in '", path_.string(), "'");
  } catch (const std::exception& error) {
    log(LogLevel::warning, "cache file '", path_.string(), "' cannot be written: ", error.what());
  }
  made_.clear();
}

}  // namespace outpost
