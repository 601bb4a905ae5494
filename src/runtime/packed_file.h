// The file that keeps a prepared model between openings: blocks of bytes (packed weights and what else the graph needs)
// and the optimised graph as text. Mapped, never read as a whole.
//
//   header (128 bytes) | blocks, each on a multiple of 64 | index: {name, offset, bytes} a block | text of the graph
//
// Nothing in it is believed before it is checked: sizes, offsets, alignment and the hash of index and text always, the
// contents of the blocks on request. Only a file of this user that nobody else may write is opened.
#pragma once
#include <array>
#include <filesystem>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/mapped_file.h"
#include "outpost/tensor.h"

namespace outpost {

using PackedKey = std::array<uint64_t, 2>;  // what the model, the options and the program are; see model_cache.h

class PackedFile {
 public:
  // Null when there is none. Throws Error(invalid_data) for one that is not to be trusted or was made for another key.
  static std::shared_ptr<const PackedFile> open(const std::filesystem::path& path, const PackedKey& key);
  // u8[bytes] within the mapping, which it keeps. Undefined when there is no such block of this size.
  Tensor block(uint64_t name, size_t bytes) const;
  std::string_view graph_text() const noexcept { return text_; }
  uint64_t source_hash() const noexcept { return source_hash_; }
  // Reads everything. Throws Error(invalid_data).
  void verify_blocks() const;

  struct Block {
    uint64_t name;
    std::string_view bytes;
  };
  // Written beside and renamed. `source_hash`: of the files the model was read from. Throws Error(io).
  static void write(const std::filesystem::path& path, const PackedKey& key, uint64_t source_hash, const std::vector<Block>& blocks,
                    std::string_view graph_text);

 private:
  void check(const PackedKey& key);
  std::shared_ptr<const MappedFile> file_;
  std::unordered_map<uint64_t, std::string_view> blocks_;
  std::string_view text_;
  uint64_t source_hash_ = 0, blocks_hash_ = 0, blocks_end_ = 0;
};

}  // namespace outpost
