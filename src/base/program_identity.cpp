// The build id is an ELF note (NT_GNU_BUILD_ID) in one of the loaded segments of the object that holds this function.
#include "base/program_identity.h"

#include <cstring>
#include <link.h>
#include <sys/stat.h>

namespace outpost {
namespace {

struct Search {
  uintptr_t address;
  std::string id;
};

void append_hex(std::string& out, const unsigned char* bytes, size_t count) {
  constexpr char hex[] = "0123456789abcdef";
  for (size_t i = 0; i < count; ++i) out.append(1, hex[bytes[i] >> 4]).append(1, hex[bytes[i] & 15]);
}

// Notes: {name size, description size, type}, then both padded to words.
void read_notes(const unsigned char* at, size_t bytes, std::string& id) {
  while (bytes >= 12) {
    uint32_t head[3];
    std::memcpy(head, at, sizeof head);
    const size_t name = (head[0] + size_t{3}) & ~size_t{3}, description = (head[1] + size_t{3}) & ~size_t{3};
    if (name + description > bytes - 12) return;
    constexpr uint32_t build_id = 3;
    if (head[2] == build_id && head[0] == 4 && std::memcmp(at + 12, "GNU", 4) == 0) return append_hex(id, at + 12 + name, head[1]);
    at += 12 + name + description;
    bytes -= 12 + name + description;
  }
}

int visit(dl_phdr_info* info, size_t, void* data) {
  auto& search = *static_cast<Search*>(data);
  bool ours = false;
  for (int i = 0; i < info->dlpi_phnum; ++i) {
    const auto& p = info->dlpi_phdr[i];
    const uintptr_t begin = info->dlpi_addr + p.p_vaddr;
    ours = ours || (p.p_type == PT_LOAD && search.address >= begin && search.address < begin + p.p_memsz);
  }
  if (!ours) return 0;
  for (int i = 0; i < info->dlpi_phnum && search.id.empty(); ++i) {
    const auto& p = info->dlpi_phdr[i];
    if (p.p_type == PT_NOTE) read_notes(reinterpret_cast<const unsigned char*>(info->dlpi_addr + p.p_vaddr), p.p_memsz, search.id);
  }
  struct stat status;
  const char* file = info->dlpi_name && *info->dlpi_name ? info->dlpi_name : "/proc/self/exe";
  if (search.id.empty() && ::stat(file, &status) == 0)
    search.id = std::to_string(status.st_size) + "-" + std::to_string(status.st_mtim.tv_sec) + "-" + std::to_string(status.st_mtim.tv_nsec);
  return 1;
}

}  // namespace

const std::string& program_identity() noexcept {
  static const std::string identity = [] {
    Search search{reinterpret_cast<uintptr_t>(&read_notes), {}};
    dl_iterate_phdr(&visit, &search);
    return search.id;
  }();
  return identity;
}

}  // namespace outpost
