// A file mapped into memory for reading. Its bytes stay valid as long as the object lives (tensors keep it by shared_ptr).
// Whoever truncates the file meanwhile ends the process that reads there: replace files by rename, never in place.
#pragma once
#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>
#include <string_view>

namespace outpost {

class MappedFile {
 public:
  // Throws Error(not_found | io). Only regular files can be mapped.
  static std::shared_ptr<const MappedFile> open(const std::filesystem::path& path);
  // Opens `location`, which comes from an untrusted file, beneath the folder `root`: a relative path of plain names
  // ("a/b.bin"), no "..", no backslash or NUL, no symbolic link in any part, a regular file with one name (no hard links).
  // Throws Error(invalid_model) for a location outside these rules, Error(not_found | io) as open().
  static std::shared_ptr<const MappedFile> open_beneath(const std::filesystem::path& root, std::string_view location);

  ~MappedFile();
  MappedFile(const MappedFile&) = delete;

  std::span<const std::byte> bytes() const noexcept { return {static_cast<const std::byte*>(data_), bytes_}; }
  std::string_view text() const noexcept { return {static_cast<const char*>(data_), bytes_}; }

 private:
  MappedFile() = default;
  static std::shared_ptr<const MappedFile> map(int descriptor, const std::string& name, bool single_name);
  void* data_ = nullptr;
  size_t bytes_ = 0;
};

}  // namespace outpost
