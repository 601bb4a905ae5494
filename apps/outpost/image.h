// Images as the program reads and writes them: 8-bit RGB, rows from the top. Files are untrusted: at most `most_pixels`
// pixels, whatever the header says.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace outpost::cli {

constexpr int64_t most_pixels = int64_t{1} << 26;

struct Image {
  int width = 0, height = 0;
  std::vector<uint8_t> rgb;  // (height, width, 3)

  Image() = default;
  Image(int w, int h, uint8_t fill = 0) : width(w), height(h), rgb(static_cast<size_t>(w) * static_cast<size_t>(h) * 3, fill) {}
  uint8_t* at(int x, int y) { return rgb.data() + (static_cast<size_t>(y) * static_cast<size_t>(width) + static_cast<size_t>(x)) * 3; }
  const uint8_t* at(int x, int y) const { return const_cast<Image*>(this)->at(x, y); }
};

// JPEG (turned upright as its EXIF orientation says), PNG (over white where transparent) and what the library decodes
// (BMP, PNM, TIFF), by content. `name` stands for the file in messages. Throws Error(invalid_data | unsupported | limit).
Image decode_image(std::span<const std::byte> bytes, const std::string& name);
Image load_image(const std::string& path);
bool is_image_file(const std::string& path);  // by its first bytes
void save_png(const std::string& path, const Image& image);

// What decode_image is made of. Each throws; jpeg and png say so when the program was built without them.
Image decode_jpeg(std::span<const std::byte> bytes, const std::string& name);
Image decode_png(std::span<const std::byte> bytes, const std::string& name);
// Throws Error(limit) unless 1 ≤ width, height and the product is at most most_pixels.
void check_image_size(int64_t width, int64_t height, const std::string& name);

}  // namespace outpost::cli
