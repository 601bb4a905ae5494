// Which decoder a file is for, by its first bytes.
#include <atomic>

#include "ops/image/formats.h"

namespace outpost {
namespace {

std::atomic<ImageDecoder> further{nullptr};

struct Format {
  std::string_view mark, name;
  Image (*decode)(image::Bytes);
};

constexpr std::string_view bytes(const char* text, size_t n) { return {text, n}; }

const Format formats[] = {
    {"BM", "BMP", image::decode_bmp},
    {"P1", "PNM", image::decode_pnm}, {"P2", "PNM", image::decode_pnm}, {"P3", "PNM", image::decode_pnm},
    {"P4", "PNM", image::decode_pnm}, {"P5", "PNM", image::decode_pnm}, {"P6", "PNM", image::decode_pnm},
    {bytes("II*\0", 4), "TIFF", image::decode_tiff}, {bytes("MM\0*", 4), "TIFF", image::decode_tiff},
    {"\xff\xd8\xff", "JPEG", nullptr}, {"\x89PNG", "PNG", nullptr}, {"RIFF", "WebP", nullptr},
    {bytes("\0\0\0\x0cjP  ", 8), "JPEG 2000", nullptr}, {"\xff\x4f\xff\x51", "JPEG 2000", nullptr}, {"GIF8", "GIF", nullptr},
};

}  // namespace

void set_image_decoder(ImageDecoder decoder) { further.store(decoder); }

Image decode_image(std::span<const uint8_t> bytes) {
  const std::string_view start(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  const Format* known = nullptr;
  for (const Format& f : formats)
    if (start.starts_with(f.mark)) known = &f;
  Image image;
  ErrorCode why = ErrorCode::invalid_data;
  std::string message = "the file is of no image format that is known";
  if (known && known->decode) try {
      return known->decode(bytes);
    } catch (const Error& e) {
      if (e.code() != ErrorCode::unsupported) throw;
      why = e.code(), message = e.what();  // a variety that another decoder may know
    }
  else if (known) why = ErrorCode::unsupported, message = text(known->name, " images need a decoder, which this program has not set");
  const ImageDecoder decoder = further.load();
  if (decoder && decoder(bytes, image)) return image;
  fail(why, message);
}

}  // namespace outpost
