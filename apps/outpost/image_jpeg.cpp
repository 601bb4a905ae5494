// JPEG through libjpeg-turbo. Its errors are a longjmp, so no C++ object lives between setjmp and the calls; progressive
// files are limited in scans, whose number a small file can make enormous.
#include "base/text.h"
#include "image.h"

#if defined(OUTPOST_WITH_JPEG)
#include <csetjmp>
#include <cstdio>
#include <cstring>
#include <memory>

#include <jpeglib.h>
#endif

namespace outpost::cli {

#if defined(OUTPOST_WITH_JPEG)

namespace {

constexpr int most_scans = 200;

struct Reader {
  jpeg_decompress_struct jpeg;
  jpeg_error_mgr errors;
  jpeg_progress_mgr progress;
  std::jmp_buf escape;
  char message[JMSG_LENGTH_MAX] = "";
};

Reader& reader_of(j_common_ptr jpeg) { return *static_cast<Reader*>(jpeg->client_data); }

[[noreturn]] void on_error(j_common_ptr jpeg) {
  Reader& r = reader_of(jpeg);
  jpeg->err->format_message(jpeg, r.message);
  std::longjmp(r.escape, 1);
}

void on_progress(j_common_ptr jpeg) {
  Reader& r = reader_of(jpeg);
  if (r.jpeg.input_scan_number <= most_scans) return;
  std::snprintf(r.message, sizeof r.message, "more than %d scans", most_scans);
  std::longjmp(r.escape, 1);
}

uint32_t number(const uint8_t* p, int count, bool little) {
  uint32_t v = 0;
  for (int i = 0; i < count; ++i) v = v << 8 | p[little ? count - 1 - i : i];
  return v;
}

// EXIF: TIFF in an APP1 marker; tag 0x112 of the first directory. 1 (upright) when there is none.
int orientation_of(const uint8_t* data, size_t size) {
  if (size < 14 || std::memcmp(data, "Exif\0\0", 6) != 0) return 1;
  const uint8_t* tiff = data + 6;
  size -= 6;
  const bool little = tiff[0] == 'I';
  const uint32_t directory = number(tiff + 4, 4, little);
  if (directory > size - 2 || size < 10) return 1;
  const uint32_t entries = number(tiff + directory, 2, little);
  for (uint32_t i = 0; i < entries && directory + 2 + 12 * size_t{i + 1} <= size; ++i) {
    const uint8_t* entry = tiff + directory + 2 + 12 * i;
    if (number(entry, 2, little) == 0x112) return static_cast<int>(number(entry + 8, 2, little));
  }
  return 1;
}

// Reads header (image.rgb empty) or pixels. False: see message. No object with a destructor is made in here.
bool read(Reader& r, std::span<const std::byte> bytes, uint8_t* pixels, int& width, int& height, int& orientation) {
  std::memset(&r.jpeg, 0, sizeof r.jpeg);
  r.jpeg.err = jpeg_std_error(&r.errors);
  r.errors.error_exit = on_error;
  r.errors.output_message = [](j_common_ptr) {};
  r.jpeg.client_data = &r;
  if (setjmp(r.escape)) {
    jpeg_destroy_decompress(&r.jpeg);
    return false;
  }
  jpeg_create_decompress(&r.jpeg);
  r.progress = {};
  r.progress.progress_monitor = on_progress;
  r.jpeg.progress = &r.progress;
  jpeg_mem_src(&r.jpeg, reinterpret_cast<const unsigned char*>(bytes.data()), static_cast<unsigned long>(bytes.size()));
  jpeg_save_markers(&r.jpeg, JPEG_APP0 + 1, 0xffff);
  jpeg_read_header(&r.jpeg, TRUE);
  width = static_cast<int>(r.jpeg.image_width);
  height = static_cast<int>(r.jpeg.image_height);
  orientation = 1;
  for (auto* m = r.jpeg.marker_list; m && orientation == 1; m = m->next) orientation = orientation_of(m->data, m->data_length);
  if (pixels) {
    const bool four = r.jpeg.jpeg_color_space == JCS_CMYK || r.jpeg.jpeg_color_space == JCS_YCCK;
    r.jpeg.out_color_space = four ? JCS_CMYK : JCS_RGB;
    jpeg_start_decompress(&r.jpeg);
    JSAMPARRAY line = (*r.jpeg.mem->alloc_sarray)(reinterpret_cast<j_common_ptr>(&r.jpeg), JPOOL_IMAGE, r.jpeg.output_width * 4, 1);
    while (r.jpeg.output_scanline < r.jpeg.output_height) {
      uint8_t* out = pixels + size_t{r.jpeg.output_scanline} * r.jpeg.output_width * 3;
      jpeg_read_scanlines(&r.jpeg, line, 1);
      for (size_t x = 0; x < r.jpeg.output_width; ++x)
        for (size_t c = 0; c < 3; ++c)  // CMYK is stored inverted, as Adobe writes it
          out[x * 3 + c] = four ? static_cast<uint8_t>(line[0][x * 4 + c] * line[0][x * 4 + 3] / 255) : line[0][x * 3 + c];
    }
  }
  jpeg_destroy_decompress(&r.jpeg);
  return true;
}

// EXIF orientations 2..8: mirrored, turned, both.
Image upright(Image image, int orientation) {
  if (orientation < 2 || orientation > 8) return image;
  const bool swap = orientation >= 5;
  Image out(swap ? image.height : image.width, swap ? image.width : image.height);
  for (int y = 0; y < out.height; ++y)
    for (int x = 0; x < out.width; ++x) {
      int sx = swap ? y : x, sy = swap ? x : y;
      if (orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8) sx = image.width - 1 - sx;
      if (orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7) sy = image.height - 1 - sy;
      std::memcpy(out.at(x, y), image.at(sx, sy), 3);
    }
  return out;
}

}  // namespace

Image decode_jpeg(std::span<const std::byte> bytes, const std::string& name) {
  const auto reader = std::make_unique<Reader>();
  int width = 0, height = 0, orientation = 1;
  if (!read(*reader, bytes, nullptr, width, height, orientation)) fail(ErrorCode::invalid_data, name, ": ", std::string_view(reader->message));
  check_image_size(width, height, name);
  Image image(width, height);
  if (!read(*reader, bytes, image.rgb.data(), width, height, orientation))
    fail(ErrorCode::invalid_data, name, ": ", std::string_view(reader->message));
  return upright(std::move(image), orientation);
}

#else

Image decode_jpeg(std::span<const std::byte>, const std::string& name) {
  fail(ErrorCode::unsupported, name, ": this build reads no JPEG; give a BMP or PPM");
}

#endif

}  // namespace outpost::cli
