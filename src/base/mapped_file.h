// A file mapped into memory for reading. Its bytes stay valid as long as the object lives (tensors keep it by shared_ptr).
// Whoever truncates the file meanwhile ends the process that reads there: replace files by rename, never in place.
#pragma once
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace outpost {

// Which file that was: another content comes with another of these, short of someone setting the clock back.
struct FileIdentity {
  std::string path;  // as it was opened
  uint64_t device = 0, inode = 0, bytes = 0;
  int64_t modified_ns = 0;
  uint32_t owner = 0, mode = 0;
};

class MappedFile : public std::enable_shared_from_this<MappedFile> {
 public:
  // Throws Error(not_found | io). Only regular files can be mapped.
  static std::shared_ptr<const MappedFile> open(const std::filesystem::path& path);
  // Opens `location`, which comes from an untrusted file, beneath the folder `root`: a relative path of plain names
  // ("a/b.bin"), no "..", no backslash or NUL, no symbolic link in any part, a regular file with one name (no hard links).
  // Throws Error(invalid_model) for a location outside these rules, Error(not_found | io) as open().
  static std::shared_ptr<const MappedFile> open_beneath(const std::filesystem::path& root, std::string_view location);

  ~MappedFile();
  MappedFile(const MappedFile&) = delete;

  // What lies there has been read for the last time: where it is part of a mapped file, its pages no longer count as this
  // process's memory (they come back when they are read after all). Any address will do.
  static void release_pages(const void* data, size_t bytes) noexcept;
  // The living file whose mapping holds this address, or null.
  static std::shared_ptr<const MappedFile> holder(const void* data);

  std::span<const std::byte> bytes() const noexcept { return {static_cast<const std::byte*>(data_), bytes_}; }
  const FileIdentity& identity() const noexcept { return identity_; }
  std::string_view text() const noexcept { return {static_cast<const char*>(data_), bytes_}; }

 private:
  MappedFile() = default;
  static std::shared_ptr<const MappedFile> map(int descriptor, const std::string& name, bool single_name);
  void* data_ = nullptr;
  size_t bytes_ = 0;
  FileIdentity identity_;
};

}  // namespace outpost
