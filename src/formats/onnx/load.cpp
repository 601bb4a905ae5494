// The entries: where the bytes come from, what keeps them, and the limits of one load.
#include "base/text.h"
#include "formats/onnx/external_data.h"
#include "formats/onnx/importer.h"
#include "formats/onnx/onnx.h"

namespace outpost {
namespace {

constexpr uint64_t base_allowance = uint64_t{1} << 30;

std::shared_ptr<Graph> load(const onnx::Source& source, const std::filesystem::path& root, const LoadOptions& options) {
  const uint64_t limit = options.memory_limit_bytes ? options.memory_limit_bytes : base_allowance + 16 * source.bytes.size();
  onnx::Budget budget(source.label, limit);
  onnx::ExternalData external(source.label, root, budget);
  onnx::TensorReader tensors(source, budget, &external);
  auto model = onnx::parse_model(source, {options.max_nodes, options.max_depth}, budget);
  return onnx::Importer(source, options, model, tensors, budget).import();
}

// Files that people take for ONNX: their own marks say more than the first byte that does not parse.
void refuse_other_formats(const std::string& label, std::string_view bytes) {
  const char* what = bytes.empty()                            ? "an empty file"
                     : bytes.starts_with("PK\3\4")            ? "a zip archive (PyTorch's .pt, a Keras or Core ML package); export it to ONNX"
                     : bytes.substr(0, 8).ends_with("TFL3")   ? "a TensorFlow Lite model; convert it with tf2onnx"
                     : bytes.starts_with("GGUF")              ? "a GGUF language model"
                     : bytes.starts_with("\x89HDF")           ? "an HDF5 file (Keras); convert it with tf2onnx"
                     : bytes.starts_with("\x80\2")            ? "a Python pickle (PyTorch's .pth); export it to ONNX"
                     : bytes.starts_with("version https://git-lfs") ? "a Git LFS pointer; `git lfs pull` fetches the model"
                     : bytes.starts_with("<!DOCTYPE") || bytes.starts_with("<html") ? "a web page, not what it was meant to download"
                                                              : nullptr;
  if (what) fail(ErrorCode::invalid_model, "'", label, "' is not an ONNX model but ", what);
}

std::string_view characters(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

Datum read_value(const onnx::Source& source, Type::Kind kind) {
  onnx::Budget budget(source.label, base_allowance + 16 * source.bytes.size());
  return onnx::TensorReader(source, budget, nullptr).datum(source.bytes, kind);
}

}  // namespace

std::shared_ptr<Graph> load_onnx(const std::filesystem::path& path, const LoadOptions& options) {
  auto file = MappedFile::open(path);
  refuse_other_formats(path.string(), file->text());
  std::error_code error;
  // The real folder: a model reached through a symbolic link (a cache) finds its data beside the real file.
  auto root = options.external_data_root.empty() ? std::filesystem::canonical(path, error).parent_path()
                                                 : std::filesystem::path(options.external_data_root);
  if (error) fail(ErrorCode::io, "'", path.string(), "': ", error.message());
  return load({path.string(), file->text(), file}, root, options);
}

std::shared_ptr<Graph> load_onnx(std::span<const std::byte> bytes, std::shared_ptr<const void> owner, const LoadOptions& options) {
  return load({options.name, characters(bytes), std::move(owner)}, options.external_data_root, options);
}

Datum load_onnx_value(const std::filesystem::path& path, Type::Kind kind) {
  auto file = MappedFile::open(path);
  return read_value({path.string(), file->text(), file}, kind);
}

Datum read_onnx_value(std::span<const std::byte> bytes, Type::Kind kind, const std::string& name) {
  return read_value({name, characters(bytes), nullptr}, kind);
}

}  // namespace outpost
