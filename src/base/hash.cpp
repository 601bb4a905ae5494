// XXH64: four lanes of multiply-rotate over 32-byte stripes, then a mixing tail.
// Source: github.com/Cyan4973/xxHash, doc/xxhash_spec.md.
#include "base/hash.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace outpost {
namespace {

constexpr uint64_t prime1 = 0x9E3779B185EBCA87, prime2 = 0xC2B2AE3D27D4EB4F, prime3 = 0x165667B19E3779F9,
                   prime4 = 0x85EBCA77C2B2AE63, prime5 = 0x27D4EB2F165667C5;

template <class T>
T read(const unsigned char* at) noexcept {
  T value;
  std::memcpy(&value, at, sizeof value);
  return value;  // little-endian hosts; formats/ asserts it
}

uint64_t round(uint64_t lane, uint64_t word) noexcept { return std::rotl(lane + word * prime2, 31) * prime1; }
uint64_t merge(uint64_t hash, uint64_t lane) noexcept { return (hash ^ round(0, lane)) * prime1 + prime4; }

void consume_stripe(uint64_t* lanes, const unsigned char* at) noexcept {
  for (int i = 0; i < 4; ++i) lanes[i] = round(lanes[i], read<uint64_t>(at + 8 * i));
}

}  // namespace

Hash64::Hash64(uint64_t seed) noexcept : lanes_{seed + prime1 + prime2, seed + prime2, seed, seed - prime1}, seed_(seed) {}

Hash64& Hash64::add(const void* data, size_t bytes) noexcept {
  auto at = static_cast<const unsigned char*>(data);
  total_ += bytes;
  if (pending_bytes_ > 0) {
    size_t fill = std::min(bytes, sizeof pending_ - pending_bytes_);
    if (fill > 0) std::memcpy(pending_ + pending_bytes_, at, fill);
    pending_bytes_ += fill, at += fill, bytes -= fill;
    if (pending_bytes_ < sizeof pending_) return *this;
    consume_stripe(lanes_, pending_);
    pending_bytes_ = 0;
  }
  for (; bytes >= 32; bytes -= 32, at += 32) consume_stripe(lanes_, at);
  if (bytes > 0) std::memcpy(pending_, at, bytes);
  pending_bytes_ = bytes;
  return *this;
}

uint64_t Hash64::value() const noexcept {
  uint64_t hash = seed_ + prime5;
  if (total_ >= 32) {
    hash = std::rotl(lanes_[0], 1) + std::rotl(lanes_[1], 7) + std::rotl(lanes_[2], 12) + std::rotl(lanes_[3], 18);
    for (uint64_t lane : lanes_) hash = merge(hash, lane);
  }
  hash += total_;
  auto at = pending_, end = pending_ + pending_bytes_;
  for (; end - at >= 8; at += 8) hash = std::rotl(hash ^ round(0, read<uint64_t>(at)), 27) * prime1 + prime4;
  if (end - at >= 4) hash = std::rotl(hash ^ read<uint32_t>(at) * prime1, 23) * prime2 + prime3, at += 4;
  for (; at < end; ++at) hash = std::rotl(hash ^ *at * prime5, 11) * prime1;
  hash = (hash ^ (hash >> 33)) * prime2;
  hash = (hash ^ (hash >> 29)) * prime3;
  return hash ^ (hash >> 32);
}

}  // namespace outpost
