// See packed_file.h.
#include "runtime/packed_file.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cstddef>
#include <cstring>

#include "base/hash.h"
#include "base/text.h"
#include "base/write_file.h"

namespace outpost {
namespace {

constexpr size_t alignment = 64;

struct Header {
  char magic[8] = {'O', 'P', 'P', 'A', 'C', 'K', 'E', 'D'};
  uint32_t format = 1, order = 0x01020304;  // of the bytes in numbers
  PackedKey key{};
  uint64_t file_bytes = 0, index_offset = 0, block_count = 0, text_bytes = 0;
  uint64_t tail_hash = 0;    // of index and text
  uint64_t blocks_hash = 0;  // of everything between header and index
  uint64_t source_hash = 0;
  uint64_t reserved[4] = {};
  uint64_t header_hash = 0;  // of all before
};
static_assert(sizeof(Header) == 128 && offsetof(Header, header_hash) == 120);
constexpr size_t blocks_begin = 192;

struct Entry {
  uint64_t name, offset, bytes;
};

[[noreturn]] void distrust(const MappedFile& file, std::string_view why) { fail(ErrorCode::invalid_data, "'", file.identity().path, "': ", why); }

uint64_t aligned(uint64_t n) { return (n + alignment - 1) / alignment * alignment; }

}  // namespace

std::shared_ptr<const PackedFile> PackedFile::open(const std::filesystem::path& path, const PackedKey& key) {
  auto packed = std::make_shared<PackedFile>();
  try {
    packed->file_ = MappedFile::open(path);
  } catch (const Error& error) {
    if (error.code() == ErrorCode::not_found) return nullptr;
    throw;
  }
  packed->check(key);
  return packed;
}

void PackedFile::check(const PackedKey& key) {
  const MappedFile& file = *file_;
  if (file.identity().owner != ::geteuid()) distrust(file, "belongs to another user");
  if (file.identity().mode & (S_IWGRP | S_IWOTH)) distrust(file, "others may write it");
  const std::string_view all = file.text();
  if (all.size() < blocks_begin) distrust(file, "is too short");
  Header h;
  std::memcpy(static_cast<void*>(&h), all.data(), sizeof h);
  if (std::memcmp(h.magic, Header().magic, sizeof h.magic) != 0 || h.format != Header().format || h.order != Header().order)
    distrust(file, "is of another format");
  if (Hash64().add(&h, offsetof(Header, header_hash)).value() != h.header_hash) distrust(file, "its header is damaged");
  if (h.key != key) distrust(file, "was made for another model or program");
  if (h.file_bytes != all.size() || h.index_offset < blocks_begin || h.index_offset > all.size()) distrust(file, "was cut off");
  const uint64_t tail = all.size() - h.index_offset;
  if (h.text_bytes > tail || h.block_count != (tail - h.text_bytes) / sizeof(Entry) || h.block_count * sizeof(Entry) + h.text_bytes != tail)
    distrust(file, "its index does not fit");
  if (hash64(all.substr(h.index_offset)) != h.tail_hash) distrust(file, "its index is damaged");
  text_ = all.substr(all.size() - h.text_bytes);
  for (uint64_t i = 0; i < h.block_count; ++i) {
    Entry e;
    std::memcpy(&e, all.data() + h.index_offset + i * sizeof e, sizeof e);
    if (e.offset % alignment != 0 || e.offset < blocks_begin || e.offset > h.index_offset || e.bytes > h.index_offset - e.offset)
      distrust(file, "a block lies outside of it");
    blocks_.emplace(e.name, all.substr(e.offset, e.bytes));
  }
  source_hash_ = h.source_hash;
  blocks_hash_ = h.blocks_hash;
  blocks_end_ = h.index_offset;
}

Tensor PackedFile::block(uint64_t name, size_t bytes) const {
  const auto found = blocks_.find(name);
  if (found == blocks_.end() || found->second.size() != bytes) return {};
  return Tensor::share(std::const_pointer_cast<MappedFile>(file_), const_cast<char*>(found->second.data()), DType::u8, {static_cast<int64_t>(bytes)});
}

void PackedFile::verify_blocks() const {
  if (hash64(file_->text().substr(blocks_begin, blocks_end_ - blocks_begin)) != blocks_hash_) distrust(*file_, "its contents are damaged");
}

void PackedFile::write(const std::filesystem::path& path, const PackedKey& key, uint64_t source_hash, const std::vector<Block>& blocks,
                       std::string_view graph_text) {
  static constexpr char zeros[blocks_begin] = {};
  std::vector<std::string_view> pieces(2);
  std::vector<Entry> index;
  Hash64 contents;
  uint64_t offset = blocks_begin;
  auto append = [&](std::string_view piece) {
    pieces.push_back(piece);
    contents.add(piece.data(), piece.size());
    offset += piece.size();
  };
  for (const Block& b : blocks) {
    index.push_back({b.name, offset, b.bytes.size()});
    append(b.bytes);
    append(std::string_view(zeros, aligned(offset) - offset));
  }
  Header h;
  h.key = key;
  h.index_offset = offset;
  h.block_count = index.size();
  h.text_bytes = graph_text.size();
  std::string tail(reinterpret_cast<const char*>(index.data()), index.size() * sizeof(Entry));
  tail += graph_text;
  h.file_bytes = offset + tail.size();
  h.tail_hash = hash64(tail);
  h.blocks_hash = contents.value();
  h.source_hash = source_hash;
  h.header_hash = Hash64().add(&h, offsetof(Header, header_hash)).value();
  pieces[0] = {reinterpret_cast<const char*>(&h), sizeof h};
  pieces[1] = std::string_view(zeros, blocks_begin - sizeof h);
  pieces.push_back(tail);
  write_file(path, pieces);
  ::chmod(path.c_str(), 0600);  // whatever the umask leaves to others, check() would refuse
}

}  // namespace outpost
