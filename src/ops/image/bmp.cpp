// Windows bitmaps: 1, 4 and 8 bits with a palette, 16, 24 and 32 bits with or without masks; not run-length coded.
#include <bit>

#include "ops/image/formats.h"

namespace outpost::image {
namespace {

// A channel of a masked pixel, widened to 8 bits.
uint8_t channel(uint32_t pixel, uint32_t mask) {
  if (mask == 0) return 0;
  const uint32_t value = (pixel & mask) >> std::countr_zero(mask), most = mask >> std::countr_zero(mask);
  return static_cast<uint8_t>((uint64_t{value} * 255 + most / 2) / most);
}

}  // namespace

Image decode_bmp(Bytes bytes) {
  const Reader r(bytes, "BMP");
  const uint32_t pixels_at = r.u32(10), header = r.u32(14);
  if (header < 40) r.unsupported("a header of ", header, " bytes");
  const int64_t width = static_cast<int32_t>(r.u32(18)), signed_height = static_cast<int32_t>(r.u32(22));
  const bool top_down = signed_height < 0;
  const int64_t height = top_down ? -signed_height : signed_height;
  const uint32_t depth = r.u16(28), compression = r.u32(30);
  if (width < 0) r.broken("a width of ", width);
  const bool masked = compression == 3 || compression == 6;
  if (compression != 0 && !(masked && (depth == 16 || depth == 32))) r.unsupported("compression ", compression, " at ", depth, " bits");
  uint32_t masks[3] = {0xff0000, 0xff00, 0xff};
  if (depth == 16) masks[0] = 0x7c00, masks[1] = 0x3e0, masks[2] = 0x1f;
  if (masked)
    for (uint64_t i = 0; i < 3; ++i) masks[i] = r.u32(54 + 4 * i);
  const uint64_t palette_at = uint64_t{14} + header;
  Image image = r.blank(static_cast<uint64_t>(height), static_cast<uint64_t>(width), 3);
  const uint64_t row_bytes = (static_cast<uint64_t>(width) * depth + 31) / 32 * 4;
  uint8_t* out = image.pixels.data();
  for (int64_t y = 0; y < height; ++y) {
    const uint64_t row = pixels_at + row_bytes * static_cast<uint64_t>(top_down ? y : height - 1 - y);
    for (int64_t x = 0; x < width; ++x, out += 3) {
      const auto at = static_cast<uint64_t>(x);
      if (depth == 24) {
        const uint8_t* p = r.range(row + 3 * at, 3);
        out[0] = p[2], out[1] = p[1], out[2] = p[0];
      } else if (depth == 16 || depth == 32) {
        const uint32_t pixel = depth == 16 ? r.u16(row + 2 * at) : r.u32(row + 4 * at);
        for (int c = 0; c < 3; ++c) out[c] = channel(pixel, masks[c]);
      } else if (depth == 1 || depth == 4 || depth == 8) {
        const uint64_t bit = at * depth;
        const uint32_t index = r.u8(row + bit / 8) >> (8 - depth - bit % 8) & ((1u << depth) - 1);
        const uint8_t* p = r.range(palette_at + uint64_t{4} * index, 4);
        out[0] = p[2], out[1] = p[1], out[2] = p[0];
      } else {
        r.broken(depth, " bits a pixel");
      }
    }
  }
  return image;
}

}  // namespace outpost::image
