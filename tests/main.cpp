// The entry of outpost_tests: GoogleTest's own, plus --file=base/smoke_test.cpp, which selects the tests that a source
// file (relative to tests/) defines. CTest uses it to run the suite file by file without listing tests at build time.
// A file that defines no test is an error, so that a renamed file cannot pass by running nothing.
// OUTPOST_TEST_FILTER=TEXT (`./test -k TEXT`) keeps only tests whose file or name contains TEXT.
// OUTPOST_ISA and its kin put the whole suite into an odd configuration (tests/configs/README.md).
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <string>
#include <string_view>

#include "api/configuration.h"

namespace {

bool defines(std::string_view path, std::string_view file) {
  return path.size() > file.size() && path.ends_with(file) && path[path.size() - file.size() - 1] == '/';
}

struct Selection {
  int defined = 0;
  std::string filter;  // GoogleTest's, naming each test
};

// Parameterised tests are already instantiated here.
Selection select(std::string_view file, std::string_view text) {
  Selection selection;
  const auto& all = *testing::UnitTest::GetInstance();
  for (int i = 0; i < all.total_test_suite_count(); ++i) {
    const auto& suite = *all.GetTestSuite(i);
    for (int j = 0; j < suite.total_test_count(); ++j) {
      const auto& test = *suite.GetTestInfo(j);
      if (!defines(test.file(), file)) continue;
      ++selection.defined;
      auto name = std::string(suite.name()) + "." + test.name();
      if (name.find(text) != name.npos || file.find(text) != file.npos) selection.filter += name + ":";
    }
  }
  return selection;
}

}  // namespace

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  try {
    outpost::configure(std::getenv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "outpost_tests: %s\n", error.what());
    return 2;
  }
  constexpr std::string_view option = "--file=";
  for (int i = 1; i < argc; ++i) {
    std::string_view argument = argv[i];
    if (!argument.starts_with(option)) {
      std::fprintf(stderr, "outpost_tests: unknown argument '%s'; use --file=PATH or --gtest_help\n", argv[i]);
      return 2;
    }
    const char* text = std::getenv("OUTPOST_TEST_FILTER");
    auto selection = select(argument.substr(option.size()), text ? text : "");
    if (selection.defined == 0) {
      std::fprintf(stderr, "outpost_tests: %s defines no test\n", argv[i] + option.size());
      return 2;
    }
    if (selection.filter.empty()) return 0;
    testing::GTEST_FLAG(filter) = selection.filter;
  }
  return RUN_ALL_TESTS();
}
