// Where tests find data that the repository does not hold: OUTPOST_TEST_DATA, else ../shared/data beside the source
// tree. A test that needs it starts with
//   const auto data = OUTPOST_REQUIRE_TEST_DATA("models/mnist-cntk");
// and is reported as skipped, with the reason, on machines that lack it.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <optional>
#include <string>

namespace outpost::test {

inline std::filesystem::path test_data_root() {
  const char* set = std::getenv("OUTPOST_TEST_DATA");
  return set && *set ? std::filesystem::path(set) : std::filesystem::path(OUTPOST_SOURCE_DIR) / "../shared/data";
}

// The folder (or the file or folder `name` in it), or nothing when it is absent.
inline std::optional<std::filesystem::path> test_data(const std::filesystem::path& name = {}) {
  std::error_code error;
  auto path = name.empty() ? test_data_root() : test_data_root() / name;
  if (!std::filesystem::exists(path, error)) return std::nullopt;
  return path;
}

}  // namespace outpost::test

// Yields the path, or skips the calling test. A statement expression, so that the skip can return from the test itself.
#define OUTPOST_REQUIRE_TEST_DATA(name)                                                                    \
  ({                                                                                                       \
    auto outpost_test_data = ::outpost::test::test_data(name);                                             \
    if (!outpost_test_data)                                                                                \
      GTEST_SKIP() << "no " << (::outpost::test::test_data_root() / (name)).string()                       \
                   << "; set OUTPOST_TEST_DATA to the folder of test data to run this test";               \
    *outpost_test_data;                                                                                    \
  })
