// Hash64: a fast hash of bytes for cache keys and for recognising content (XXH64, Yann Collet; the same value on every
// machine). Not for secrets: whoever wants a collision can make one.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <type_traits>

namespace outpost {

class Hash64 {
 public:
  explicit Hash64(uint64_t seed = 0) noexcept;
  Hash64& add(const void* data, size_t bytes) noexcept;
  Hash64& add(std::span<const std::byte> bytes) noexcept { return add(bytes.data(), bytes.size()); }
  // Length first, so that ("ab", "c") and ("a", "bc") differ.
  Hash64& add(std::string_view s) noexcept { return add(uint64_t(s.size())).add(s.data(), s.size()); }
  template <class T>
    requires(std::is_integral_v<T> || std::is_enum_v<T>)
  Hash64& add(T value) noexcept {
    auto wide = static_cast<uint64_t>(value);
    return add(&wide, sizeof wide);
  }
  // The hash of everything added so far; more may follow.
  uint64_t value() const noexcept;

 private:
  uint64_t lanes_[4], seed_, total_ = 0;
  unsigned char pending_[32];
  size_t pending_bytes_ = 0;
};

inline uint64_t hash64(std::string_view bytes, uint64_t seed = 0) noexcept { return Hash64(seed).add(bytes.data(), bytes.size()).value(); }

}  // namespace outpost
