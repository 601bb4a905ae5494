// Mapping files, and opening what an untrusted file names: nothing may be reached outside the folder.
#include "base/mapped_file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>

#include "base/write_file.h"
#include "outpost/error.h"

namespace outpost::test {
namespace {

namespace fs = std::filesystem;

class MappedFileTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "outpost-XXXXXX").string();
    root_ = ::mkdtemp(pattern.data());
    fs::create_directories(root_ / "model/sub");
    write_file(root_ / "secret", "secret");
    write_file(root_ / "model/data", "data");
    write_file(root_ / "model/sub/more", "more");
    fs::create_symlink("../secret", root_ / "model/link");
    fs::create_symlink("..", root_ / "model/up");
    fs::create_symlink("sub", root_ / "model/inside");
    fs::create_hard_link(root_ / "secret", root_ / "model/hard");
    ::mkfifo((root_ / "model/pipe").c_str(), 0600);
  }
  void TearDown() override { fs::remove_all(root_); }

  void refused(std::string_view location) {
    try {
      MappedFile::open_beneath(root_ / "model", location);
      ADD_FAILURE() << "'" << location << "' was opened";
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find("'"), std::string::npos);
    }
  }

  fs::path root_;
};

TEST_F(MappedFileTest, reads_what_is_beneath) {
  EXPECT_EQ(MappedFile::open_beneath(root_ / "model", "data")->text(), "data");
  EXPECT_EQ(MappedFile::open_beneath(root_ / "model", "./data")->text(), "data");
  EXPECT_EQ(MappedFile::open_beneath(root_ / "model", "sub/more")->text(), "more");
  EXPECT_EQ(MappedFile::open_beneath(root_ / "model/up/model", "data")->text(), "data");  // the root itself is trusted
}

TEST_F(MappedFileTest, refuses_every_way_out) {
  for (const char* location : {"", "/", "//", "../secret", "sub/../../secret", "sub/../data", "..", ".", "./", "link", "up/secret", "inside/more", "hard",
                               "sub", "pipe", "sub//more", "/etc/passwd", "sub\\more", "..\\secret", "data/", "data/x", "missing"})
    refused(location);
  refused(std::string_view("data\0/../../secret", 18));
  refused((root_ / "secret").string());
  refused(std::string(100'000, 'a'));
  std::string deep;
  for (int i = 0; i < 100'000; ++i) deep += "./";
  EXPECT_EQ(MappedFile::open_beneath(root_ / "model", deep + "data")->text(), "data");
}

TEST_F(MappedFileTest, only_regular_files_are_mapped) {
  EXPECT_THROW(MappedFile::open(root_ / "model"), Error);
  EXPECT_THROW(MappedFile::open(root_ / "model/pipe"), Error);
  EXPECT_THROW(MappedFile::open("/dev/zero"), Error);
  EXPECT_THROW(MappedFile::open(root_ / "missing"), Error);
  write_file(root_ / "empty", "");
  EXPECT_EQ(MappedFile::open(root_ / "empty")->bytes().size(), 0u);
}

TEST_F(MappedFileTest, a_replaced_file_stays_what_it_was) {
  auto old = MappedFile::open(root_ / "secret");
  write_file(root_ / "secret", "changed");
  EXPECT_EQ(old->text(), "secret");
  EXPECT_EQ(MappedFile::open(root_ / "secret")->text(), "changed");
  write_file("/dev/null", "gone");
  EXPECT_TRUE(fs::is_character_file("/dev/null"));
  EXPECT_THROW(write_file(root_ / "missing/file", "x"), Error);
}

}  // namespace
}  // namespace outpost::test
