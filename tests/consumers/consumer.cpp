// The C++ interface from an installed Outpost: a model from memory is run, and an error is an outpost::Error.
#include <outpost/outpost.h>

#include <cstdio>
#include <vector>

#include "model.h"

int main() try {
  try {
    outpost::Model::load(std::as_bytes(std::span("not a model")));
    std::fprintf(stderr, "bytes that are no model were accepted\n");
    return 1;
  } catch (const outpost::Error& error) {
    if (error.code() != outpost::ErrorCode::invalid_model) throw;
  }
  const auto model = outpost::Model::load(std::as_bytes(std::span(model_bytes)));
  const outpost::Session session(model, {.threads = 1});
  const std::vector<float> values = {1, 2, 3};
  const auto outputs = session.run({{"x", outpost::Tensor::view(std::span(values), {3})}});
  const auto doubled = outputs["y"].values<float>();
  std::printf("%zu values, the last %g\n", doubled.size(), static_cast<double>(doubled[2]));
  return doubled.size() == 3 && doubled[2] == 6.0f ? 0 : 1;
} catch (const std::exception& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
