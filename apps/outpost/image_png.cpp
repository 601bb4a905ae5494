// PNG through libpng's simplified interface, which bounds and checks what it reads.
#include "base/text.h"
#include "image.h"

#if defined(OUTPOST_WITH_PNG)
#include <png.h>
#endif

namespace outpost::cli {

#if defined(OUTPOST_WITH_PNG)

Image decode_png(std::span<const std::byte> bytes, const std::string& name) {
  png_image png{};
  png.version = PNG_IMAGE_VERSION;
  if (!png_image_begin_read_from_memory(&png, bytes.data(), bytes.size())) fail(ErrorCode::invalid_data, name, ": ", png.message);
  png.format = PNG_FORMAT_RGB;
  if (static_cast<int64_t>(png.width) > most_pixels || static_cast<int64_t>(png.width) * static_cast<int64_t>(png.height) > most_pixels) {
    png_image_free(&png);
    check_image_size(png.width, png.height, name);
  }
  Image image(static_cast<int>(png.width), static_cast<int>(png.height), 255);  // transparent pixels show it
  if (!png_image_finish_read(&png, nullptr, image.rgb.data(), 0, nullptr)) {
    const std::string what = png.message;
    png_image_free(&png);
    fail(ErrorCode::invalid_data, name, ": ", what);
  }
  return image;
}

void save_png(const std::string& path, const Image& image) {
  png_image png{};
  png.version = PNG_IMAGE_VERSION;
  png.width = static_cast<png_uint_32>(image.width);
  png.height = static_cast<png_uint_32>(image.height);
  png.format = PNG_FORMAT_RGB;
  if (!png_image_write_to_file(&png, path.c_str(), 0, image.rgb.data(), 0, nullptr)) fail(ErrorCode::io, "'", path, "': ", png.message);
}

#else

Image decode_png(std::span<const std::byte>, const std::string& name) {
  fail(ErrorCode::unsupported, name, ": this build reads no PNG; give a BMP or PPM");
}
void save_png(const std::string& path, const Image&) { fail(ErrorCode::unsupported, "'", path, "': this build writes no PNG"); }

#endif

}  // namespace outpost::cli
