// POSIX mmap. Opening beneath a root walks the path folder by folder with openat(O_NOFOLLOW): the same confinement as
// Linux' openat2(RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS), on every POSIX system and old kernel, without a race.
#include "base/mapped_file.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <mutex>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <vector>

#include "base/text.h"

namespace outpost {
namespace {

class Descriptor {
 public:
  explicit Descriptor(int value = -1) noexcept : value_(value) {}
  Descriptor(Descriptor&& o) noexcept : value_(o.value_) { o.value_ = -1; }
  Descriptor& operator=(Descriptor&& o) noexcept { std::swap(value_, o.value_); return *this; }
  ~Descriptor() { if (value_ >= 0) ::close(value_); }
  int get() const noexcept { return value_; }

 private:
  int value_;
};

// The mappings of this process, to tell whose pages an address is part of.
struct Mappings {
  std::mutex mutex;
  std::vector<const MappedFile*> all;

  // Under the lock.
  const MappedFile* find(const void* data) const {
    for (const MappedFile* f : all)
      if (data >= f->bytes().data() && data < f->bytes().data() + f->bytes().size()) return f;
    return nullptr;
  }
};

Mappings& mappings() {
  static auto* m = new Mappings;  // outlives every static that holds a file
  return *m;
}

// A read fault brings in this much around the page, where the file is in the page cache.
constexpr uintptr_t fault_around = 64 << 10;

// O_NONBLOCK: opening a named pipe must not wait for a writer.
constexpr int file_flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK;
constexpr int folder_flags = O_RDONLY | O_CLOEXEC | O_DIRECTORY;

[[noreturn]] void fail_open(const std::string& name) {
  int error = errno;
  if (error == ENOENT) fail(ErrorCode::not_found, "'", name, "': no such file");
  if (error == ELOOP || error == EMLINK) fail(ErrorCode::invalid_model, "'", name, "': is a symbolic link, which is not followed here");
  fail(ErrorCode::io, "'", name, "': ", std::strerror(error));
}

void require_plain_location(std::string_view location) {
  auto refuse = [&](std::string_view why) { fail(ErrorCode::invalid_model, "'", location, "': ", why); };
  if (location.empty()) refuse("is empty; expected a relative path");
  if (location.find('\0') != location.npos) refuse("holds a NUL character");
  if (location.find('\\') != location.npos) refuse("holds a backslash; parts are separated by '/'");
  if (location.front() == '/') refuse("is absolute; expected a path relative to the model's folder");
}

// Takes the first part off `rest`. "a/./b" and "./a" are harmless and common; "a//b" and ".." are refused.
std::string_view take_part(std::string_view& rest, std::string_view location) {
  auto end = rest.find('/');
  auto part = rest.substr(0, end);
  rest = end == rest.npos ? std::string_view() : rest.substr(end + 1);
  if (part.empty() || (end != part.npos && rest.empty()))
    fail(ErrorCode::invalid_model, "'", location, "': has an empty part");
  if (part == "..") fail(ErrorCode::invalid_model, "'", location, "': leads out of the folder with '..'");
  return part;
}

}  // namespace

std::shared_ptr<const MappedFile> MappedFile::map(int descriptor, const std::string& name, bool single_name) {
  struct stat status;
  if (::fstat(descriptor, &status) != 0) fail_open(name);
  if (!S_ISREG(status.st_mode)) fail(ErrorCode::io, "'", name, "': is not a regular file");
  if (single_name && status.st_nlink > 1)
    fail(ErrorCode::invalid_model, "'", name, "': has ", uint64_t(status.st_nlink),
         " names (hard links), expected 1; copy the file if it belongs here");
  std::shared_ptr<MappedFile> file(new MappedFile);
  file->bytes_ = static_cast<size_t>(status.st_size);
  file->identity_ = {name, status.st_dev, status.st_ino, file->bytes_, status.st_mtim.tv_sec * int64_t{1'000'000'000} + status.st_mtim.tv_nsec,
                     status.st_uid, status.st_mode};
  if (file->bytes_ == 0) return file;
  void* data = ::mmap(nullptr, file->bytes_, PROT_READ, MAP_PRIVATE, descriptor, 0);
  if (data == MAP_FAILED) {
    file->bytes_ = 0;
    fail(ErrorCode::io, "'", name, "': cannot be mapped: ", std::strerror(errno));
  }
  file->data_ = data;
  std::lock_guard lock(mappings().mutex);
  mappings().all.push_back(file.get());
  return file;
}

std::shared_ptr<const MappedFile> MappedFile::open(const std::filesystem::path& path) {
  Descriptor file(::open(path.c_str(), file_flags));
  if (file.get() < 0) fail_open(path.string());
  return map(file.get(), path.string(), false);
}

std::shared_ptr<const MappedFile> MappedFile::open_beneath(const std::filesystem::path& root, std::string_view location) {
  require_plain_location(location);
  Descriptor folder(::open(root.c_str(), folder_flags));
  if (folder.get() < 0) fail_open(root.string());
  for (auto rest = location;;) {
    auto part = std::string(take_part(rest, location));
    bool last = rest.empty();
    if (part == "." && !last) continue;
    Descriptor next(::openat(folder.get(), part.c_str(), (last ? file_flags : folder_flags) | O_NOFOLLOW));
    if (next.get() < 0) {
      if (errno == ENOTDIR && !last)
        fail(ErrorCode::invalid_model, "'", location, "': '", part, "' is not a folder (symbolic links are not followed here)");
      fail_open((root / std::filesystem::path(location)).string());
    }
    if (last) return map(next.get(), std::string(location), true);
    folder = std::move(next);
  }
}

MappedFile::~MappedFile() {
  if (!data_) return;
  {
    std::lock_guard lock(mappings().mutex);
    std::erase(mappings().all, this);
  }
  ::munmap(data_, bytes_);
}

void MappedFile::release_pages(const void* data, size_t bytes) noexcept {
  if (bytes < fault_around) return;
  std::lock_guard lock(mappings().mutex);
  const MappedFile* file = mappings().find(data);
  if (!file) return;
  const auto begin = reinterpret_cast<uintptr_t>(file->data_);
  const auto first = std::max(begin, reinterpret_cast<uintptr_t>(data) / fault_around * fault_around);
  const auto last = std::min(begin + file->bytes_, reinterpret_cast<uintptr_t>(data) + bytes);
  ::madvise(reinterpret_cast<void*>(first), last - first, MADV_DONTNEED);
}

std::shared_ptr<const MappedFile> MappedFile::holder(const void* data) {
  std::lock_guard lock(mappings().mutex);
  const MappedFile* file = mappings().find(data);
  return file ? file->weak_from_this().lock() : nullptr;
}

}  // namespace outpost
