// Model: a graph read from a file or from memory, before it is made ready to run. Cheap to copy (copies share it),
// immutable, and safe to use from several threads.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "outpost/tensor.h"

namespace outpost {

class Graph;  // the engine's own representation (src/graph/graph.h)

struct LoadOptions {
  std::string name = "model";           // stands for a model from memory in messages
  std::string external_data_root = "";  // empty: the real folder of the model; a model from memory has none
  uint64_t memory_limit_bytes = 0;      // beyond the file's own pages; 0: 1 GiB + 16 times the files' sizes
  int64_t max_nodes = 1'000'000;        // also counts what functions expand to
  int max_depth = 64;                   // of subgraphs and function calls within each other
  // Inputs that also have an initializer are constants; true: they stay inputs, which the caller must then feed.
  bool keep_overridable_inputs = false;
};

// One dimension of a declared shape: a size; or a symbol, equal wherever it stands ("batch"); or neither: anything.
struct Dimension {
  int64_t size = -1;  // -1: not fixed
  std::string symbol = "";
};

struct TypeInfo {
  enum class Kind : uint8_t { unknown, tensor, sparse_tensor, sequence, optional, map };
  Kind kind = Kind::unknown;
  DType dtype = DType::undefined;                     // tensor: of its elements; map: of its keys
  bool ranked = false;                                // false: the number of dimensions is not declared
  std::vector<Dimension> shape = {};
  std::shared_ptr<const TypeInfo> element = nullptr;  // of a sequence or an optional; a map's values
};
// "f32[batch,3,224,224]", "sequence(i64[?])"
std::string to_string(const TypeInfo&);

// An input or output.
struct ValueInfo {
  std::string name;
  TypeInfo type;
};

class Model {
 public:
  // An ONNX file of any opset. Its pages are mapped: weights are read when first used and shared between processes. The
  // file must not change while the model or a session made from it lives.
  // Throws Error: not_found, io, invalid_model (the file breaks the format), unsupported, limit.
  static Model load(const std::string& path, const LoadOptions& options = {});
  // A model in memory. With an owner, weights stay where they are and the owner is kept; without, they are copied.
  static Model load(std::span<const std::byte> bytes, const LoadOptions& options = {},
                    std::shared_ptr<const void> owner = nullptr);
  // A graph built by the engine's own means; operators must be resolved.
  explicit Model(std::shared_ptr<Graph> graph);

  const std::string& name() const noexcept;
  // In the order of the file. References live as long as any copy of the model.
  const std::vector<ValueInfo>& inputs() const noexcept;
  const std::vector<ValueInfo>& outputs() const noexcept;
  const std::vector<std::pair<std::string, std::string>>& metadata() const noexcept;
  // (domain, version) as the file declares them; "" is ai.onnx.
  std::vector<std::pair<std::string, int>> opsets() const;
  // Elements in all constants of floating-point and quantised types with at least one axis.
  int64_t parameter_count() const;

  const std::shared_ptr<const Graph>& graph() const noexcept;

 private:
  struct Data;
  std::shared_ptr<const Data> data_;
};

}  // namespace outpost
