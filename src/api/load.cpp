// Model::load: files written in any opset become graphs of the newest, with a type for every value.
#include "formats/onnx/onnx.h"
#include "ops/upgrade.h"
#include "outpost/model.h"

namespace outpost {
namespace {

Model ready(std::shared_ptr<Graph> graph) {
  upgrade_graph(*graph);
  return Model(std::move(graph));
}

}  // namespace

Model Model::load(const std::string& path, const LoadOptions& options) { return ready(load_onnx(path, options)); }

Model Model::load(std::span<const std::byte> bytes, const LoadOptions& options, std::shared_ptr<const void> owner) {
  return ready(load_onnx(bytes, std::move(owner), options));
}

}  // namespace outpost
