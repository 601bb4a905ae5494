// Gives the ImageDecoder operator the program's JPEG and PNG decoders: the library itself links none.
#include <string_view>

#include "image.h"
#include "outpost/image.h"
#include "subcommands.h"

namespace outpost::cli {
namespace {

bool decode_for_operator(std::span<const uint8_t> bytes, outpost::Image& out) {
  const std::string_view start(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  const bool jpeg = start.starts_with("\xff\xd8\xff"), png = start.starts_with("\x89PNG");
  if (!jpeg && !png) return false;
  const auto data = std::as_bytes(bytes);
  Image image = jpeg ? decode_jpeg(data, "image") : decode_png(data, "image");
  out.height = image.height;
  out.width = image.width;
  out.channels = 3;
  out.pixels = std::move(image.rgb);
  return true;
}

}  // namespace

void offer_image_decoders() { set_image_decoder(decode_for_operator); }

}  // namespace outpost::cli
