// Pictures: decoders by content, orientation, transparency, damage; resizing and fitting.
#include "image.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <random>

#include "app/image_data_table.h"
#include "outpost/error.h"
#include "resize.h"

namespace outpost::cli {
namespace {

template <size_t n>
std::vector<std::byte> bytes_of(const uint8_t (&data)[n]) {
  const auto* first = reinterpret_cast<const std::byte*>(data);
  return {first, first + n};
}

std::vector<std::byte> bytes_of(const std::string& s) {
  const auto* first = reinterpret_cast<const std::byte*>(s.data());
  return {first, first + s.size()};
}

bool red(const uint8_t* p) { return p[0] > 180 && p[2] < 80; }
bool blue(const uint8_t* p) { return p[2] > 180 && p[0] < 80; }

TEST(Image, jpeg_is_turned_upright) {
  const Image image = decode_image(bytes_of(test::turned_jpeg), "turned");
  EXPECT_EQ(image.width, 8);
  EXPECT_EQ(image.height, 16);
  EXPECT_TRUE(red(image.at(3, 2)));
  EXPECT_TRUE(blue(image.at(3, 13)));
}

TEST(Image, progressive_jpeg) {
  const Image image = decode_image(bytes_of(test::progressive_jpeg), "progressive");
  EXPECT_TRUE(red(image.at(2, 4)));
  EXPECT_TRUE(blue(image.at(13, 4)));
}

TEST(Image, transparent_png_lies_over_white) {
  const Image image = decode_image(bytes_of(test::transparent_png), "transparent");
  EXPECT_EQ(image.at(0, 0)[2], 255);
  EXPECT_TRUE(red(image.at(1, 0)));
}

TEST(Image, ppm_by_the_library) {
  const Image image = decode_image(bytes_of(std::string("P6 2 1 255\n\xff\x01\x02\x03\x04\xfe", 17)), "ppm");
  EXPECT_EQ(image.width, 2);
  EXPECT_EQ(image.at(1, 0)[2], 0xfe);
  const Image grey = decode_image(bytes_of(std::string("P2 1 1 255\n77\n")), "pgm");
  EXPECT_EQ(grey.at(0, 0)[0], 77);
  EXPECT_EQ(grey.at(0, 0)[2], 77);
}

TEST(Image, png_comes_back_as_written) {
  Image image(5, 3);
  for (size_t i = 0; i < image.rgb.size(); ++i) image.rgb[i] = static_cast<uint8_t>(i * 5);
  const auto path = std::filesystem::temp_directory_path() / ("outpost-" + std::to_string(std::random_device()()) + ".png");
  save_png(path.string(), image);
  EXPECT_EQ(load_image(path.string()).rgb, image.rgb);
  EXPECT_TRUE(is_image_file(path.string()));
  std::filesystem::remove(path);
  EXPECT_FALSE(is_image_file(path.string()));
}

// Damaged files end in a picture or an Error, nothing else.
void survives(std::vector<std::byte> good) {
  std::mt19937 random(5);
  for (int i = 0; i < 400; ++i) {
    auto bad = good;
    for (int k = 0; k < 1 + i % 4; ++k) bad[random() % bad.size()] = static_cast<std::byte>(random());
    if (i % 3 == 0) bad.resize(random() % bad.size() + 1);
    try {
      decode_image(bad, "damaged");
    } catch (const Error&) {
    }
  }
}

TEST(Image, damage_is_an_error) {
  survives(bytes_of(test::turned_jpeg));
  survives(bytes_of(test::progressive_jpeg));
  survives(bytes_of(test::transparent_png));
}

TEST(Image, claims_of_size_are_not_believed) {
  auto png = bytes_of(test::transparent_png);
  for (size_t i = 16; i < 24; ++i) png[i] = std::byte{0x7f};  // width and height of IHDR
  EXPECT_THROW(decode_image(png, "huge"), Error);
  EXPECT_THROW(decode_image(bytes_of(std::string("P6 70000 70000 255\n")), "huge"), Error);
  EXPECT_THROW(decode_image(bytes_of(std::string("not a picture at all")), "text"), Error);
}

TEST(Resize, keeps_flat_colours_and_averages_what_shrinks) {
  const Image flat(7, 5, 93);
  for (uint8_t v : resize(flat, 13, 3).rgb) EXPECT_EQ(v, 93);
  Image stripes(64, 1);
  for (int x = 0; x < 64; x += 2) stripes.at(x, 0)[0] = 200;
  const Image small = resize(stripes, 8, 1);
  for (int x = 1; x < 7; ++x) EXPECT_NEAR(small.at(x, 0)[0], 100, 2);
}

TEST(Resize, fitting_finds_the_way_back) {
  const Image wide(200, 100, 50);
  for (Fit how : {Fit::stretch, Fit::letterbox, Fit::corner, Fit::crop}) {
    const Fitted f = fit(wide, 64, 64, how, 114);
    EXPECT_EQ(f.image.width, 64);
    EXPECT_EQ(f.image.height, 64);
    const double left = f.placement.offset_x, right = 64 * f.placement.scale_x + f.placement.offset_x;
    EXPECT_NEAR((left + right) / 2, how == Fit::corner ? 100 : 100, 1) << static_cast<int>(how);
    const bool padded = how == Fit::letterbox || how == Fit::corner;
    EXPECT_EQ(f.image.at(32, 63)[0], padded ? 114 : 50);
    EXPECT_EQ(f.image.at(32, 1)[0], how == Fit::letterbox ? 114 : 50);
  }
}

}  // namespace
}  // namespace outpost::cli
