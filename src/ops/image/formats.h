// The formats decoded here. Each function is given bytes that start with its format's mark.
#pragma once
#include <string_view>

#include "base/text.h"
#include "outpost/image.h"

namespace outpost::image {

using Bytes = std::span<const uint8_t>;

Image decode_bmp(Bytes);
Image decode_pnm(Bytes);
Image decode_tiff(Bytes);

// Reads with bounds: past the end throws.
class Reader {
 public:
  Reader(Bytes bytes, std::string_view format, bool big_endian = false) : bytes_(bytes), format_(format), big_(big_endian) {}
  uint64_t size() const noexcept { return bytes_.size(); }
  const uint8_t* range(uint64_t at, uint64_t count) const {
    if (at > bytes_.size() || count > bytes_.size() - at) broken("ends at byte ", bytes_.size(), " where ", count, " bytes are expected at ", at);
    return bytes_.data() + at;
  }
  uint32_t u8(uint64_t at) const { return *range(at, 1); }
  uint32_t u16(uint64_t at) const {
    const uint8_t* p = range(at, 2);
    return big_ ? uint32_t{p[0]} << 8 | p[1] : uint32_t{p[1]} << 8 | p[0];
  }
  uint32_t u32(uint64_t at) const { return big_ ? u16(at) << 16 | u16(at + 2) : u16(at + 2) << 16 | u16(at); }
  template <class... A>
  [[noreturn]] void broken(const A&... what) const { fail(ErrorCode::invalid_data, format_, " image: ", what...); }
  template <class... A>
  [[noreturn]] void unsupported(const A&... what) const { fail(ErrorCode::unsupported, format_, " image: ", what...); }
  // An image of that size, zeroed. Its pixels must be backed by at least 1/64 as many bytes of file.
  Image blank(uint64_t height, uint64_t width, int64_t channels) const {
    if (height == 0 || width == 0 || height > 1 << 24 || width > 1 << 24 || height * width > 64 * (bytes_.size() + 64))
      broken("a size of ", width, " x ", height, " in ", bytes_.size(), " bytes");
    Image image{static_cast<int64_t>(height), static_cast<int64_t>(width), channels, {}};
    image.pixels.resize(height * width * static_cast<uint64_t>(channels));
    return image;
  }

 private:
  Bytes bytes_;
  std::string_view format_;
  bool big_;
};

}  // namespace outpost::image
