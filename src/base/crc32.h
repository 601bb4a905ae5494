// CRC-32 as zip, gzip and PNG use it (reflected polynomial 0xEDB88320).
#pragma once
#include <cstddef>
#include <cstdint>

namespace outpost {

// Of more bytes after those that gave `crc`; 0 to begin with.
uint32_t crc32(const void* data, size_t bytes, uint32_t crc = 0) noexcept;

}  // namespace outpost
