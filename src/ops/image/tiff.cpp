// TIFF 6.0, the plain part: 8 bits a sample, grey or RGB (further samples dropped), whole strips, not compressed or
// PackBits. The first image of the file.
#include <algorithm>
#include <cstring>

#include "ops/image/formats.h"

namespace outpost::image {
namespace {

struct Field {
  uint32_t type = 0, count = 0;
  uint64_t at = 0;  // where its values lie
};

class Directory {
 public:
  Directory(const Reader& r, uint64_t at) : r_(r), at_(at), count_(r.u16(at)) {}
  Field find(uint32_t tag) const {
    for (uint64_t i = 0; i < count_; ++i) {
      const uint64_t entry = at_ + 2 + 12 * i;
      if (r_.u16(entry) != tag) continue;
      Field f{r_.u16(entry + 2), r_.u32(entry + 4), entry + 8};
      if (uint64_t{f.count} * bytes(f.type) > 4) f.at = r_.u32(entry + 8);
      return f;
    }
    return {};
  }
  uint32_t value(const Field& f, uint64_t i, uint32_t fallback) const {
    if (i >= f.count) return fallback;
    if (f.type == 3) return r_.u16(f.at + 2 * i);
    if (f.type == 4) return r_.u32(f.at + 4 * i);
    return r_.u8(f.at + i);
  }
  uint32_t value(uint32_t tag, uint32_t fallback) const { return value(find(tag), 0, fallback); }

 private:
  static uint64_t bytes(uint32_t type) { return type == 3 ? 2 : type == 4 ? 4 : 1; }
  const Reader& r_;
  uint64_t at_, count_;
};

// Runs: n >= 0 copies n + 1 bytes, n < 0 repeats one byte 1 - n times, -128 does nothing.
uint64_t unpack(const Reader& r, const uint8_t* from, uint64_t n, uint8_t* to, uint64_t room) {
  uint64_t in = 0, out = 0;
  while (in < n && out < room) {
    const int code = static_cast<int8_t>(from[in++]);
    if (code == -128) continue;
    const uint64_t length = std::min<uint64_t>(static_cast<uint64_t>(code >= 0 ? code + 1 : 1 - code), room - out);
    if (in + (code >= 0 ? length : 1) > n) r.broken("a run beyond its strip");
    if (code >= 0) std::memcpy(to + out, from + in, length), in += length;
    else std::memset(to + out, from[in++], length);
    out += length;
  }
  return out;
}

}  // namespace

Image decode_tiff(Bytes bytes) {
  const Reader r(bytes, "TIFF", bytes[0] == 'M');
  const Directory d(r, r.u32(4));
  const uint64_t width = d.value(256, 0), height = d.value(257, 0), samples = d.value(277, 1);
  const uint32_t compression = d.value(259, 1), meaning = d.value(262, 1);
  const Field depths = d.find(258);
  for (uint64_t i = 0; i < std::max<uint64_t>(1, depths.count) && i < 8; ++i)
    if (d.value(depths, i, 1) != 8) r.unsupported(d.value(depths, i, 1), " bits a sample");
  if (compression != 1 && compression != 32773) r.unsupported("compression ", compression);
  if (meaning > 2 || samples == 0 || samples > 8 || (meaning == 2 && samples < 3)) r.unsupported("photometric interpretation ", meaning, " with ", samples, " samples");
  if (d.value(284, 1) != 1) r.unsupported("planes apart");
  const uint64_t row = width * samples;
  Image image = r.blank(height, width, meaning == 2 ? 3 : 1);
  std::vector<uint8_t> raw(height * row);
  const Field offsets = d.find(273), lengths = d.find(279);
  const uint64_t rows_a_strip = std::max<uint64_t>(1, std::min<uint64_t>(height, d.value(278, 0xffffffff)));
  uint64_t done = 0;
  for (uint64_t i = 0; i < offsets.count && done < raw.size(); ++i) {
    const uint64_t expected = std::min(rows_a_strip * row, raw.size() - done), n = d.value(lengths, i, static_cast<uint32_t>(expected));
    const uint8_t* from = r.range(d.value(offsets, i, 0), n);
    if (compression == 32773) done += unpack(r, from, n, raw.data() + done, expected);
    else std::memcpy(raw.data() + done, from, std::min(n, expected)), done += std::min(n, expected);
  }
  if (done < raw.size()) r.broken("has ", done, " bytes of pixels; expected ", raw.size());
  for (uint64_t i = 0; i < height * width; ++i)
    for (uint64_t c = 0; c < static_cast<uint64_t>(image.channels); ++c)
      image.pixels[i * static_cast<uint64_t>(image.channels) + c] = static_cast<uint8_t>(meaning == 0 ? 255 - raw[i * samples + c] : raw[i * samples + c]);
  return image;
}

}  // namespace outpost::image
