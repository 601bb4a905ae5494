// classify MODEL.onnx PICTURE.ppm: the three likeliest classes of a picture that has the model's size.
#include <outpost/outpost.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <numeric>

int main(int argc, char** argv) try {
  if (argc != 3) return std::fprintf(stderr, "usage: classify MODEL.onnx PICTURE.ppm\n"), 2;
  const outpost::Session session(argv[1], {.threads = 2});

  std::ifstream file(argv[2], std::ios::binary);
  const std::vector<uint8_t> bytes(std::istreambuf_iterator<char>(file), {});
  const outpost::Image picture = outpost::decode_image(bytes);

  // Interleaved bytes become planes of floats in 0..1: (1, 3, height, width).
  const int64_t area = picture.height * picture.width;
  std::vector<float> planes(3 * area);
  for (int64_t c = 0; c < 3; ++c)
    for (int64_t i = 0; i < area; ++i)
      planes[c * area + i] = picture.pixels[i * picture.channels + std::min(c, picture.channels - 1)] / 255.f;

  const std::string& input = session.inputs()[0].name;
  const auto outputs = session.run({{input, outpost::Tensor::view(std::span(planes), {1, 3, picture.height, picture.width})}});
  const auto scores = outputs[0].values<float>();

  std::vector<size_t> order(scores.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return scores[a] > scores[b]; });
  for (size_t i = 0; i < std::min<size_t>(3, order.size()); ++i) std::printf("%6.2f %%  class %zu\n", 100 * scores[order[i]], order[i]);
} catch (const std::exception& error) {
  std::fprintf(stderr, "classify: %s\n", error.what());
  return 1;
}
