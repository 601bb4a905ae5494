// ImageDecoder (ONNX 20): the bytes of an image file to (height, width, channel). A file that is broken gives an empty
// image, as the specification has it; one of a format without a decoder is an error.
#include <cstring>

#include "ops/op.h"
#include "outpost/image.h"

namespace outpost {
namespace {

void infer(InferContext& c) {
  c.require_inputs(1, 1);
  c.require_dtype(0, {DType::u8});
  c.require(!c.ranked(0) || c.rank(0) == 1, "the stream has rank ", c.ranked(0) ? c.rank(0) : 0, "; expected 1");
  const auto format = c.attributes().string("pixel_format", "RGB");
  c.require(format == "RGB" || format == "BGR" || format == "Grayscale", "pixel_format is '", format, "'; expected RGB, BGR or Grayscale");
  c.output(0, DType::u8, {{}, {}, format == "Grayscale" ? 1 : 3});
}

// ITU-R 601 luma in 16-bit fixed point, rounded.
uint8_t grey(const uint8_t* p) { return static_cast<uint8_t>((19595u * p[0] + 38470u * p[1] + 7471u * p[2] + 0x8000u) >> 16); }

void run(RunContext& c) {
  const View& x = c.in(0);
  const auto format = c.attributes().string("pixel_format", "RGB");
  const int64_t channels = format == "Grayscale" ? 1 : 3;
  Image image;
  try {
    image = decode_image({x.as<uint8_t>(), static_cast<size_t>(x.count())});
  } catch (const Error& e) {
    if (e.code() == ErrorCode::unsupported) fail(e.code(), c.node().label(), ": ", e.what());
    if (e.code() != ErrorCode::invalid_data) throw;
  }
  View& y = c.out(0).defined() ? c.out(0) : c.allocate(0, {image.height, image.width, channels});
  const uint8_t* from = image.pixels.data();
  uint8_t* to = y.as<uint8_t>();
  for (int64_t i = 0; i < image.height * image.width; ++i, from += image.channels, to += channels) {
    const uint8_t rgb[3] = {from[0], from[image.channels == 3 ? 1 : 0], from[image.channels == 3 ? 2 : 0]};
    if (channels == 1) *to = image.channels == 1 ? rgb[0] : grey(rgb);
    else if (format == "BGR") to[0] = rgb[2], to[1] = rgb[1], to[2] = rgb[0];
    else std::memcpy(to, rgb, 3);
  }
}

}  // namespace

OUTPOST_DEFINE_OP(ImageDecoder, .name = "ImageDecoder", .since = 20, .first = 20, .doc = "an image file's bytes as pixels", .infer = infer,
                  .run = run, .no_gradient = "bytes of a file");

}  // namespace outpost
