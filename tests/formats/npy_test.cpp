// .npy and .npz: every dtype there and back, the layouts that NumPy writes, and files that lie.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "base/crc32.h"
#include "formats/npy/npy.h"
#include "tensor/float_types.h"

namespace outpost::test {
namespace {

std::span<const std::byte> as_bytes(const std::string& s) { return {reinterpret_cast<const std::byte*>(s.data()), s.size()}; }
Tensor read(const std::string& s) { return read_npy(as_bytes(s)); }

// A version-1 file with this header dictionary, as NumPy pads it.
std::string npy(std::string dict, const std::string& data) {
  dict.append(117 - dict.size() % 64 % 118, ' ');
  dict.resize(118, ' ');
  dict.back() = '\n';
  return std::string("\x93NUMPY\x01\x00\x76\x00", 10) + dict + data;
}

std::string npy_of(const std::string& descr, const std::string& shape, const std::string& data, bool fortran = false) {
  return npy("{'descr': '" + descr + "', 'fortran_order': " + (fortran ? "True" : "False") + ", 'shape': (" + shape + "), }", data);
}

template <class T>
std::string bytes_of(std::initializer_list<T> values) {
  return {reinterpret_cast<const char*>(values.begin()), values.size() * sizeof(T)};
}

void expect_error(const std::string& file, ErrorCode code, const std::string& part) {
  try {
    read(file);
    ADD_FAILURE() << "no error; expected one with '" << part << "'";
  } catch (const Error& error) {
    EXPECT_EQ(static_cast<int>(error.code()), static_cast<int>(code)) << error.what();
    EXPECT_THAT(error.what(), testing::HasSubstr(part));
  }
}

TEST(Npy, every_dtype_comes_back) {
  for (auto dtype : {DType::boolean, DType::i8, DType::i16, DType::i32, DType::i64, DType::u8, DType::u16, DType::u32, DType::u64,
                     DType::f16, DType::bf16, DType::f32, DType::f64, DType::complex64, DType::complex128}) {
    Tensor tensor(dtype, {2, 3});
    auto* bytes = static_cast<uint8_t*>(tensor.raw());
    for (size_t i = 0; i < tensor.bytes(); ++i) bytes[i] = dtype == DType::boolean ? i & 1 : static_cast<uint8_t>(i * 7);
    Tensor back = read(npy_bytes(tensor));
    ASSERT_EQ(back.dtype(), dtype);
    EXPECT_EQ(back.shape(), tensor.shape());
    EXPECT_EQ(std::memcmp(back.raw(), tensor.raw(), tensor.bytes()), 0) << name(dtype);
  }
}

TEST(Npy, shapes_of_every_rank_come_back) {
  for (const Shape& shape : {Shape{}, Shape{0}, Shape{5}, Shape{2, 0, 3}, Shape{1, 2, 3, 4}}) {
    auto file = npy_bytes(Tensor(DType::u8, shape));
    EXPECT_EQ((file.size() - static_cast<size_t>(shape.count())) % 64, 0u);
    EXPECT_EQ(read(file).shape(), shape);
  }
}

TEST(Npy, strings_are_unicode_cells) {
  auto tensor = Tensor::of(std::vector<std::string>{"", "Grüße", "日本語 🙂"}, {3});
  auto file = npy_bytes(tensor);
  EXPECT_NE(file.find("'<U5'"), file.npos);
  EXPECT_THAT(read(file).values<std::string>(), testing::ElementsAre("", "Grüße", "日本語 🙂"));
}

TEST(Npy, strings_that_are_no_utf8_are_byte_cells) {
  auto file = npy_bytes(Tensor::of(std::vector<std::string>{"\xff\xfe", "a"}, {2}));
  EXPECT_NE(file.find("'|S2'"), file.npos);
  EXPECT_THAT(read(file).values<std::string>(), testing::ElementsAre("\xff\xfe", "a"));
}

TEST(Npy, fortran_order_is_turned) {
  auto tensor = read(npy_of("<i4", "2, 3", bytes_of<int32_t>({0, 10, 1, 11, 2, 12}), true));
  EXPECT_THAT(tensor.values<int32_t>(), testing::ElementsAre(0, 1, 2, 10, 11, 12));
  auto strings = read(npy_of("|S1", "2, 2", "abcd", true));
  EXPECT_THAT(strings.values<std::string>(), testing::ElementsAre("a", "c", "b", "d"));
}

TEST(Npy, big_endian_is_swapped) {
  EXPECT_THAT(read(npy_of(">i2", "2,", std::string("\x01\x02\xff\xfe", 4))).values<int16_t>(), testing::ElementsAre(0x102, -2));
  auto complex = read(npy_of(">c8", "1,", std::string("\x3f\x80\0\0\x40\0\0\0", 8)));
  EXPECT_EQ(std::memcmp(complex.raw(), bytes_of<float>({1, 2}).data(), 8), 0);
  EXPECT_THAT(read(npy_of(">U1", "1,", std::string("\0\0\0\x41", 4))).values<std::string>(), testing::ElementsAre("A"));
}

TEST(Npy, any_non_zero_byte_is_true) {
  auto tensor = read(npy_of("|b1", "3,", std::string("\0\x02\xff", 3)));
  EXPECT_EQ(std::memcmp(tensor.raw(), "\0\1\1", 3), 0);
}

TEST(Npy, sub_byte_types_are_unpacked) {
  Tensor tensor(DType::i4, {3});
  std::memcpy(tensor.raw(), "\x2f\x07", 2);  // -1, 2, 7
  auto back = read(npy_bytes(tensor));
  EXPECT_THAT(back.values<int8_t>(), testing::ElementsAre(-1, 2, 7));
}

TEST(Npy, memory_is_shared_with_its_owner) {
  auto file = std::make_shared<std::string>(npy_bytes(Tensor::of<float>({1, 2, 3})));
  auto tensor = read_npy(as_bytes(*file), file);
  EXPECT_EQ(tensor.raw(), file->data() + file->size() - 12);
  EXPECT_GT(file.use_count(), 1);
}

TEST(Npy, files_that_lie_are_errors) {
  expect_error("", ErrorCode::invalid_model, "NUMPY");
  expect_error(std::string("\x93NUMPY\x09\x00\x00\x00", 10), ErrorCode::invalid_model, "version 9");
  expect_error(std::string("\x93NUMPY\x02\x00\xff\xff\xff\xff", 12), ErrorCode::invalid_model, "header");
  expect_error(npy_of("<f4", "3,", "12345678"), ErrorCode::invalid_model, "3 elements");
  expect_error(npy_of("<f4", "1,", "12345678"), ErrorCode::invalid_model, "8 bytes of data");
  expect_error(npy_of("<f4", "4294967296, 4294967296", ""), ErrorCode::limit, "");
  expect_error(npy_of("<f4", "-1,", ""), ErrorCode::limit, "");
  expect_error(npy_of("<f4", "99999999999999999999,", ""), ErrorCode::invalid_model, "below 2^63");
  expect_error(npy_of("<U0", "1000000000000,", ""), ErrorCode::limit, "empty strings");
  expect_error(npy_of("<U99999999999", "1,", ""), ErrorCode::invalid_model, "descr");
  expect_error(npy_of("<U1", "1,", std::string("\x00\xd8\x00\x00", 4)), ErrorCode::invalid_model, "no Unicode");
  expect_error(npy_of("|O", "1,", "x"), ErrorCode::unsupported, "pickled");
  expect_error(npy_of("<f16", "1,", std::string(16, 'x')), ErrorCode::unsupported, "<f16");
  expect_error(npy("[('a', '<f4')]", ""), ErrorCode::invalid_model, "'{' expected");
  expect_error(npy("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,), }", "1234"), ErrorCode::unsupported, "structured");
  expect_error(npy("{'descr': '<f4', 'fortran_order': 1, 'shape': (1,), }", "1234"), ErrorCode::invalid_model, "True or False");
  expect_error(npy("{'descr': '<f4', 'shape': (1,), }", "1234"), ErrorCode::invalid_model, "2 keys");
}

TEST(Npz, members_come_back) {
  NamedTensors tensors{{"a", Tensor::of<float>({1, 2})}, {"dir/b", Tensor::scalar(int64_t{7})}, {"", Tensor(DType::u8, {0})}};
  auto back = read_npz(as_bytes(npz_bytes(tensors)));
  ASSERT_EQ(back.size(), 3u);
  EXPECT_EQ(back[0].first, "a");
  EXPECT_THAT(back[0].second.values<float>(), testing::ElementsAre(1, 2));
  EXPECT_EQ(back[1].first, "dir/b");
  EXPECT_EQ(back[1].second.values<int64_t>()[0], 7);
}

TEST(Npz, damage_is_an_error_at_every_byte) {
  const auto good = npz_bytes({{"a", Tensor::of<float>({1, 2})}, {"b", Tensor::of<float>({3})}});
  for (size_t i = 0; i < good.size(); ++i) {
    auto cut = good.substr(0, i);
    EXPECT_THROW(read_npz(as_bytes(cut)), Error) << i;
    auto bad = good;
    bad[i] = static_cast<char>(bad[i] ^ 0xff);
    try {  // a byte that does not matter (a date) may pass, but nothing may crash
      read_npz(as_bytes(bad));
    } catch (const Error&) {
    }
  }
}

TEST(Npz, compressed_members_need_a_decompressor) {
  auto file = npz_bytes({{"a", Tensor::of<float>({1, 2})}});
  const auto central = file.find("PK\1\2");
  file[central + 10] = 8;
  try {
    read_npz(as_bytes(file));
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(static_cast<int>(error.code()), static_cast<int>(ErrorCode::unsupported));
  }
  // One that copies: the content is stored after all.
  NpzOptions options{.inflate = [](std::span<const std::byte> in, std::span<std::byte> out) { std::memcpy(out.data(), in.data(), out.size()); }};
  EXPECT_THAT(read_npz(as_bytes(file), nullptr, "x", options)[0].second.values<float>(), testing::ElementsAre(1, 2));
  options.memory_limit_bytes = 10;
  EXPECT_THROW(read_npz(as_bytes(file), nullptr, "x", options), Error);
}

TEST(Crc32, known_values) {
  EXPECT_EQ(crc32("123456789", 9), 0xcbf43926u);
  EXPECT_EQ(crc32("6789", 4, crc32("12345", 5)), 0xcbf43926u);
}

}  // namespace
}  // namespace outpost::test
