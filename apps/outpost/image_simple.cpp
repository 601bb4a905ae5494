// BMP and PNM: formats simple enough to read here. Every offset is checked against the file before it is used.
// Sources: learn.microsoft.com/windows/win32/gdi/bitmap-storage; netpbm.sourceforge.net/doc/pnm.html.
#include <bit>
#include <cstdlib>

#include "base/text.h"
#include "image.h"

namespace outpost::cli {
namespace {

class Bytes {
 public:
  Bytes(std::span<const std::byte> bytes, const std::string& name) : bytes_(bytes), name_(name) {}
  uint64_t little(size_t offset, int count) const {
    if (offset + static_cast<size_t>(count) > bytes_.size()) fail(ErrorCode::invalid_data, name_, ": the image ends early");
    uint64_t v = 0;
    for (int i = count; i-- > 0;) v = v << 8 | std::to_integer<uint64_t>(bytes_[offset + static_cast<size_t>(i)]);
    return v;
  }
  size_t size() const { return bytes_.size(); }

 private:
  std::span<const std::byte> bytes_;
  const std::string& name_;
};

// A channel of a 16- or 32-bit pixel.
struct Mask {
  uint32_t mask;
  uint8_t of(uint32_t pixel) const {
    if (!mask) return 0;
    const uint64_t most = mask >> std::countr_zero(mask);
    return static_cast<uint8_t>(((pixel & mask) >> std::countr_zero(mask)) * uint64_t{255} / most);
  }
};

struct BmpHeader {
  int64_t width, height;
  bool top_down;
  int depth;
  uint64_t compression, pixels, palette, colours;
  Mask red, green, blue;
};

BmpHeader bmp_header(const Bytes& in, const std::string& name) {
  BmpHeader h{};
  h.pixels = in.little(10, 4);
  const uint64_t size = in.little(14, 4);
  if (size < 40) fail(ErrorCode::unsupported, name, ": a BMP header of ", size, " bytes (OS/2); 40 and more are read");
  h.width = static_cast<int32_t>(in.little(18, 4));
  h.height = static_cast<int32_t>(in.little(22, 4));
  h.top_down = h.height < 0;
  if (h.top_down) h.height = -h.height;
  h.depth = static_cast<int>(in.little(28, 2));
  h.compression = in.little(30, 4);
  h.colours = in.little(46, 4);
  h.palette = 14 + size;
  const bool masks = h.compression == 3 || h.compression == 6;
  if (h.compression != 0 && !(masks && (h.depth == 16 || h.depth == 32)))
    fail(ErrorCode::unsupported, name, ": a compressed BMP (", h.compression, "); save it uncompressed");
  if (h.depth == 16) h.red.mask = 0x7c00, h.green.mask = 0x3e0, h.blue.mask = 0x1f;
  if (h.depth == 32) h.red.mask = 0xff0000, h.green.mask = 0xff00, h.blue.mask = 0xff;
  if (masks) {
    h.red.mask = static_cast<uint32_t>(in.little(54, 4));
    h.green.mask = static_cast<uint32_t>(in.little(58, 4));
    h.blue.mask = static_cast<uint32_t>(in.little(62, 4));
  }
  return h;
}

// The PNM header's next number; `#` begins a comment.
int64_t number(std::string_view& rest, const std::string& name) {
  auto space = [](char c) { return c == ' ' || (c >= '\t' && c <= '\r'); };
  while (!rest.empty() && (space(rest[0]) || rest[0] == '#')) {
    if (rest[0] == '#') rest.remove_prefix(std::min(rest.find('\n'), rest.size() - 1));
    rest.remove_prefix(1);
  }
  int64_t v = 0;
  size_t digits = 0;
  for (; digits < rest.size() && rest[digits] >= '0' && rest[digits] <= '9' && v < (int64_t{1} << 32); ++digits) v = v * 10 + (rest[digits] - '0');
  if (digits == 0) fail(ErrorCode::invalid_data, name, ": expected a number in the image");
  rest.remove_prefix(digits);
  return v;
}

}  // namespace

Image decode_bmp(std::span<const std::byte> bytes, const std::string& name) {
  const Bytes in(bytes, name);
  const BmpHeader h = bmp_header(in, name);
  check_image_size(h.width, h.height, name);
  const int d = h.depth;
  if (d != 1 && d != 4 && d != 8 && d != 16 && d != 24 && d != 32) fail(ErrorCode::unsupported, name, ": a BMP of ", d, " bits a pixel");
  const uint64_t stride = (static_cast<uint64_t>(h.width) * static_cast<uint64_t>(d) + 31) / 32 * 4;
  if (h.pixels > in.size() || stride * static_cast<uint64_t>(h.height) > in.size() - h.pixels)
    fail(ErrorCode::invalid_data, name, ": the image ends early");
  Image image(static_cast<int>(h.width), static_cast<int>(h.height));
  for (int y = 0; y < image.height; ++y) {
    const uint64_t row = h.pixels + stride * static_cast<uint64_t>(h.top_down ? y : image.height - 1 - y);
    for (int x = 0; x < image.width; ++x) {
      uint8_t* out = image.at(x, y);
      if (d >= 16) {
        const auto pixel = static_cast<uint32_t>(in.little(row + static_cast<uint64_t>(x) * static_cast<uint64_t>(d / 8), d / 8));
        if (d == 24) out[0] = static_cast<uint8_t>(pixel >> 16), out[1] = static_cast<uint8_t>(pixel >> 8), out[2] = static_cast<uint8_t>(pixel);
        else out[0] = h.red.of(pixel), out[1] = h.green.of(pixel), out[2] = h.blue.of(pixel);
      } else {
        const uint64_t bit = static_cast<uint64_t>(x) * static_cast<uint64_t>(d);
        const uint64_t index = in.little(row + bit / 8, 1) >> (8 - static_cast<uint64_t>(d) - bit % 8) & ((1u << d) - 1);
        const uint64_t colour = in.little(h.palette + index * 4, 4);
        out[0] = static_cast<uint8_t>(colour >> 16), out[1] = static_cast<uint8_t>(colour >> 8), out[2] = static_cast<uint8_t>(colour);
      }
    }
  }
  return image;
}

Image decode_pnm(std::span<const std::byte> bytes, const std::string& name) {
  std::string_view rest(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  const int kind = rest[1] - '0';
  rest.remove_prefix(2);
  const int64_t width = number(rest, name), height = number(rest, name);
  check_image_size(width, height, name);
  const bool bits = kind == 1 || kind == 4, colour = kind == 3 || kind == 6, binary = kind >= 4;
  const int64_t most = bits ? 1 : number(rest, name);
  if (most < 1 || most > 65535) fail(ErrorCode::invalid_data, name, ": a largest value of ", most, " in a PNM image; expected 1..65535");
  if (binary && !rest.empty()) rest.remove_prefix(1);
  const int64_t channels = colour ? 3 : 1, width_bytes = most > 255 ? 2 : 1;
  const int64_t row_bytes = kind == 4 ? (width + 7) / 8 : width * channels * width_bytes;
  const int64_t least = binary ? row_bytes * height : width * height * channels;  // a digit a sample
  if (least > static_cast<int64_t>(rest.size())) fail(ErrorCode::invalid_data, name, ": the image ends early");
  Image image(static_cast<int>(width), static_cast<int>(height));
  auto binary_sample = [&](int64_t y, int64_t i) -> int64_t {
    const auto* row = reinterpret_cast<const uint8_t*>(rest.data()) + y * row_bytes;
    if (kind == 4) return row[i / 8] >> (7 - i % 8) & 1;
    return width_bytes == 2 ? row[2 * i] << 8 | row[2 * i + 1] : row[i];
  };
  auto text_sample = [&]() -> int64_t {
    if (kind != 1) return number(rest, name);
    const size_t at = rest.find_first_of("01");  // P1 needs no spaces between its digits
    if (at == rest.npos) fail(ErrorCode::invalid_data, name, ": the image ends early");
    const int64_t v = rest[at] - '0';
    rest.remove_prefix(at + 1);
    return v;
  };
  for (int64_t y = 0; y < height; ++y)
    for (int64_t x = 0; x < width; ++x)
      for (int64_t c = 0; c < channels; ++c) {
        int64_t v = std::min(most, binary ? binary_sample(y, x * channels + c) : text_sample());
        if (bits) v = 1 - v;
        uint8_t* out = image.at(static_cast<int>(x), static_cast<int>(y));
        const auto byte = static_cast<uint8_t>(v * 255 / most);
        if (colour) out[c] = byte;
        else out[0] = out[1] = out[2] = byte;
      }
  return image;
}

}  // namespace outpost::cli
