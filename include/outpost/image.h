// Images in files: what ImageDecoder nodes and programs read. BMP, PNM and plain TIFF are decoded by the library itself;
// a program that links other decoders (JPEG, PNG, …) offers them with set_image_decoder.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

namespace outpost {

// Rows from the top, pixels from the left, channels interleaved: 1 (grey) or 3 (red, green, blue).
struct Image {
  int64_t height = 0, width = 0, channels = 0;
  std::vector<uint8_t> pixels;
};

// Decodes `bytes` into `image`; returns false when the format is not one of its own, throws Error(invalid_data) when the
// file is broken and Error(limit) when the image is too large to be meant. May be called from several threads.
using ImageDecoder = bool (*)(std::span<const uint8_t> bytes, Image& image);

// Asked for formats that the library does not decode; null (the default): none. For program start: not synchronised with
// decoding that goes on.
void set_image_decoder(ImageDecoder);

// Throws Error(invalid_data) for broken files, Error(unsupported) naming the format where there is no decoder.
Image decode_image(std::span<const uint8_t> bytes);

}  // namespace outpost
