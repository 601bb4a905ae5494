// What opening a model worked out, kept on disk for the next time: the optimised graph and every packed weight, in one
// file (packed_file.h) that is mapped. Named by what the result follows from: the model's graph, the identity of its
// files (path, device, inode, size, time of change; a content hash for weights in no file), the options, the instruction
// set and the program itself. Any number of processes may use one folder. A file that is wrong in any way is not used,
// said in the log, and replaced.
#pragma once
#include <filesystem>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "graph/graph.h"
#include "ops/packed_store.h"
#include "runtime/packed_arena.h"
#include "runtime/packed_file.h"

namespace outpost {

class ModelCache final : public PackedStore {
 public:
  // `model`: the graph as it was read; it must outlive this. `options`: what else decides the result, in words.
  ModelCache(const std::filesystem::path& folder, const Graph& model, std::string_view options);

  // The optimised graph as an earlier opening left it, resolved, or null. With `verify`, contents are hashed: those of the
  // file, and those of the model's files, which cost reading them.
  std::shared_ptr<Graph> load(bool verify);
  // Weights from the file after load() gave a graph: one that is missing throws Error(invalid_data). Else they are packed
  // anew and noted.
  Tensor packed(std::string_view key, size_t bytes, FunctionRef<void(void*)> fill) override;
  // What load() gave turned out wrong: from now on weights are packed anew.
  void distrust(std::string_view why);
  // Keeps `optimised`, whose constants may have been let go, and all that was packed. Failures go to the log.
  void save(const Graph& optimised) noexcept;

 private:
  std::filesystem::path path_;
  PackedKey key_;
  std::vector<const Tensor*> model_constants_;
  std::vector<std::shared_ptr<const MappedFile>> sources_;
  std::shared_ptr<const PackedFile> file_;
  PackedArena arena_;
  std::mutex mutex_;
  std::vector<std::pair<uint64_t, Tensor>> made_;  // by name of the block
};

}  // namespace outpost
