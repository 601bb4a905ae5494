// Choosing a decoder by content, and reading files.
#include "image.h"

#include <cstdio>
#include <cstring>

#include "base/mapped_file.h"
#include "base/text.h"
#include "outpost/image.h"

namespace outpost::cli {
namespace {

enum class Format { unknown, jpeg, png, other };

Format format_of(std::span<const std::byte> bytes) {
  auto starts = [&](const char* magic, size_t n) { return bytes.size() >= n && std::memcmp(bytes.data(), magic, n) == 0; };
  if (starts("\xff\xd8\xff", 3)) return Format::jpeg;
  if (starts("\x89PNG\r\n\x1a\n", 8)) return Format::png;
  if (starts("BM", 2) || starts("II*\0", 4) || starts("MM\0*", 4)) return Format::other;
  if (bytes.size() > 3 && starts("P", 1)) {
    const int digit = std::to_integer<int>(bytes[1]), next = std::to_integer<int>(bytes[2]);
    if (digit >= '1' && digit <= '6' && (next == ' ' || next == '\n' || next == '\r' || next == '\t' || next == '#')) return Format::other;
  }
  return Format::unknown;
}

// By the library; one channel becomes three.
Image decode_other(std::span<const std::byte> bytes, const std::string& name) {
  const outpost::Image decoded = [&] {
    try {
      return outpost::decode_image({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()});
    } catch (const Error& e) {
      fail(e.code(), name, ": ", e.what());
    }
  }();
  check_image_size(decoded.width, decoded.height, name);
  Image image(static_cast<int>(decoded.width), static_cast<int>(decoded.height));
  const size_t channels = static_cast<size_t>(decoded.channels);
  for (size_t i = 0; i < image.rgb.size(); ++i) image.rgb[i] = decoded.pixels[i / 3 * channels + (channels == 3 ? i % 3 : 0)];
  return image;
}

}  // namespace

void check_image_size(int64_t width, int64_t height, const std::string& name) {
  if (width < 1 || height < 1 || width > most_pixels || height > most_pixels || width * height > most_pixels)
    fail(ErrorCode::limit, name, ": an image of ", width, "x", height, "; 1 to ", most_pixels, " pixels are read");
}

Image decode_image(std::span<const std::byte> bytes, const std::string& name) {
  switch (format_of(bytes)) {
    case Format::jpeg: return decode_jpeg(bytes, name);
    case Format::png: return decode_png(bytes, name);
    case Format::other: return decode_other(bytes, name);
    case Format::unknown: break;
  }
  fail(ErrorCode::unsupported, name, ": not an image that is understood; JPEG, PNG, BMP, PNM and TIFF are");
}

Image load_image(const std::string& path) {
  const auto file = MappedFile::open(path);
  return decode_image(std::as_bytes(std::span(file->text())), path);
}

bool is_image_file(const std::string& path) {
  std::FILE* file = std::fopen(path.c_str(), "rb");
  if (!file) return false;
  std::byte head[64];
  const size_t count = std::fread(head, 1, sizeof head, file);
  std::fclose(file);
  return format_of({head, count}) != Format::unknown;
}

}  // namespace outpost::cli
