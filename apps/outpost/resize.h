// Bringing a picture to the size a model wants, and finding the way back.
#pragma once
#include "image.h"

namespace outpost::cli {

// Bilinear, averaging over what shrinks (a triangle filter as wide as the scale), so that small pictures do not alias.
Image resize(const Image& image, int width, int height);
Image crop(const Image& image, int left, int top, int width, int height);

enum class Fit {
  stretch,    // to the size, whatever the proportions
  letterbox,  // as large as fits, in the middle, padded
  corner,     // as large as fits, at the top left, padded right and below
  crop,       // covers the size, the middle is kept
};

// Where a point of the model's picture lies in the original one: x * scale_x + offset_x.
struct Placement {
  double scale_x = 1, scale_y = 1, offset_x = 0, offset_y = 0;
};

struct Fitted {
  Image image;
  Placement placement;
};

// `cover` is for crop: how much larger than the model's picture the covering one is (256 to 224: 8/7).
Fitted fit(const Image& image, int width, int height, Fit how, uint8_t pad, double cover = 1);

}  // namespace outpost::cli
