// A temporary file in the same folder, fsync, rename.
#include "base/write_file.h"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <string>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

#include "base/text.h"

namespace outpost {
namespace {

class File {
 public:
  File(int descriptor, std::string name) : descriptor_(descriptor), name_(std::move(name)) {}
  ~File() {
    if (descriptor_ >= 0) ::close(descriptor_);
    if (!remove_.empty()) ::unlink(remove_.c_str());
  }
  void remove_unless_kept(std::string path) { remove_ = std::move(path); }
  void keep() { remove_.clear(); }
  int get() const { return descriptor_; }

  void write(std::string_view bytes) {
    while (!bytes.empty()) {
      ssize_t written = ::write(descriptor_, bytes.data(), bytes.size());
      if (written < 0 && errno == EINTR) continue;
      if (written <= 0) fail_here("cannot be written");
      bytes.remove_prefix(static_cast<size_t>(written));
    }
  }
  void close() {
    int descriptor = std::exchange(descriptor_, -1);
    if (::close(descriptor) != 0) fail_here("cannot be closed");
  }
  [[noreturn]] void fail_here(std::string_view what) const { fail(ErrorCode::io, "'", name_, "': ", what, ": ", std::strerror(errno)); }

 private:
  int descriptor_;
  std::string name_, remove_;
};

// A new file in the same folder, so that renaming it does not cross file systems.
int create_beside(const std::string& name, std::string& temporary) {
  for (int attempt = 0; attempt < 1000; ++attempt) {
    temporary = text(name, ".", static_cast<int>(::getpid()), "-", attempt, ".part");
    int descriptor = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (descriptor >= 0 || errno != EEXIST) return descriptor;
  }
  return -1;
}

}  // namespace

void write_file(const std::filesystem::path& path, std::span<const std::string_view> pieces) {
  const std::string name = path.string();
  struct stat status;
  if (::stat(name.c_str(), &status) == 0 && !S_ISREG(status.st_mode)) {
    File file(::open(name.c_str(), O_WRONLY | O_CLOEXEC), name);
    if (file.get() < 0) file.fail_here("cannot be opened");
    for (auto piece : pieces) file.write(piece);
    return;
  }
  std::string temporary;
  File file(create_beside(name, temporary), name);
  if (file.get() < 0) file.fail_here("cannot be created");
  file.remove_unless_kept(temporary);
  for (auto piece : pieces) file.write(piece);
  if (::fsync(file.get()) != 0) file.fail_here("cannot be completed");
  file.close();
  if (::rename(temporary.c_str(), name.c_str()) != 0) file.fail_here("cannot be replaced");
  file.keep();
}

}  // namespace outpost
