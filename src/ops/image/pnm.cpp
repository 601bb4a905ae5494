// Portable any-maps: P1..P6, up to 16 bits a sample, scaled to 8.
#include "ops/image/formats.h"

namespace outpost::image {
namespace {

class Text {
 public:
  explicit Text(const Reader& r) : r_(r) {}
  // The next number; comments and white space before it are skipped.
  uint64_t number() {
    skip();
    uint64_t value = 0, digits = 0;
    for (; at < r_.size() && r_.u8(at) >= '0' && r_.u8(at) <= '9'; ++at, ++digits)
      if ((value = value * 10 + r_.u8(at) - '0') > 1 << 24) r_.broken("a number above 2^24 at byte ", at);
    if (digits == 0) r_.broken("no number at byte ", at);
    return value;
  }
  // One digit of P1, which need not be apart from the next.
  uint64_t bit() {
    skip();
    const uint32_t c = r_.u8(at++);
    if (c != '0' && c != '1') r_.broken("neither 0 nor 1 at byte ", at - 1);
    return c - '0';
  }
  uint64_t at = 2;

 private:
  void skip() {
    for (; at < r_.size(); ++at) {
      const uint32_t c = r_.u8(at);
      if (c == '#')
        while (at < r_.size() && r_.u8(at) != '\n') ++at;
      else if (c != ' ' && (c < 9 || c > 13)) return;
    }
  }
  const Reader& r_;
};

}  // namespace

Image decode_pnm(Bytes bytes) {
  const Reader r(bytes, "PNM", true);
  const uint32_t kind = r.u8(1) - '0';
  Text text(r);
  const uint64_t width = text.number(), height = text.number();
  const bool bits = kind == 1 || kind == 4;
  const uint64_t most = bits ? 1 : text.number();
  if (most == 0 || most > 65535) r.broken("a largest value of ", most);
  Image image = r.blank(height, width, kind == 3 || kind == 6 ? 3 : 1);
  const uint64_t row = width * static_cast<uint64_t>(image.channels), sample = most > 255 ? 2 : 1;
  const uint64_t data = text.at + 1;  // a single white space ends the header
  for (uint64_t i = 0; i < image.pixels.size(); ++i) {
    uint64_t value;
    if (kind == 1) value = 1 - text.bit();
    else if (kind <= 3) value = text.number();
    else if (kind == 4) value = 1 - (r.u8(data + i / row * ((row + 7) / 8) + i % row / 8) >> (7 - i % row % 8) & 1);
    else value = sample == 2 ? r.u16(data + 2 * i) : r.u8(data + i);
    if (value > most) r.broken("a sample of ", value, " above ", most);
    image.pixels[i] = static_cast<uint8_t>((value * 255 + most / 2) / most);
  }
  return image;
}

}  // namespace outpost::image
