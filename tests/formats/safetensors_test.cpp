// safetensors: there and back, and headers that lie (the reference implementation's checks and more).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "formats/safetensors/safetensors.h"

namespace outpost::test {
namespace {

std::span<const std::byte> as_bytes(const std::string& s) { return {reinterpret_cast<const std::byte*>(s.data()), s.size()}; }

std::string file_of(const std::string& json, const std::string& data) {
  const uint64_t length = json.size();
  return std::string(reinterpret_cast<const char*>(&length), 8) + json + data;
}

std::string problem_of(const std::string& file) {
  try {
    read_safetensors(as_bytes(file));
    return "";
  } catch (const Error& error) {
    return error.what();
  }
}

TEST(Safetensors, content_comes_back) {
  Safetensors content;
  content.metadata = {{"format", "pt"}, {"\"quoted\"\n", "Grüße"}};
  content.tensors = {{"bytes", Tensor::of<uint8_t>({1, 2, 3})}, {"x", Tensor::of<float>({1.5f, -2})}, {"empty", Tensor(DType::f64, {0, 4})},
                     {"scalar", Tensor::scalar(int64_t{-5})}, {"half", Tensor(DType::bf16, {1})}};
  std::memset(content.tensors.back().second.raw(), 0, 2);
  auto bytes = std::make_shared<std::string>(safetensors_bytes(content));
  auto back = read_safetensors(as_bytes(*bytes), bytes);
  EXPECT_EQ(back.metadata, content.metadata);
  ASSERT_EQ(back.tensors.size(), content.tensors.size());
  for (const auto& [name, tensor] : content.tensors) {
    auto* found = back.find(name);
    ASSERT_NE(found, nullptr) << name;
    EXPECT_EQ(found->dtype(), tensor.dtype());
    EXPECT_EQ(found->shape(), tensor.shape());
    EXPECT_EQ(std::memcmp(found->raw(), tensor.raw(), tensor.bytes()), 0);
  }
  // Aligned without holes, so nothing was copied.
  auto inside = [&](const Tensor& t) { return t.raw() >= bytes->data() && t.raw() < bytes->data() + bytes->size(); };
  EXPECT_TRUE(inside(*back.find("x")));
  EXPECT_TRUE(inside(*back.find("scalar")));
}

TEST(Safetensors, json_escapes_are_read) {
  auto content = read_safetensors(as_bytes(file_of(R"({"a\u00e9\ud83d\ude42\/":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}} )", "x")));
  EXPECT_EQ(content.tensors.at(0).first, "aé🙂/");
}

TEST(Safetensors, headers_that_lie_are_errors) {
  using testing::HasSubstr;
  auto one = [](const std::string& fields) { return "{\"a\":{" + fields + "}}"; };
  EXPECT_THAT(problem_of(""), HasSubstr("too few"));
  EXPECT_THAT(problem_of(std::string(8, '\xff')), HasSubstr("header is said"));
  EXPECT_THAT(problem_of(file_of("", "")), HasSubstr("expected"));
  EXPECT_THAT(problem_of(file_of("{}", "x")), HasSubstr("belong to no tensor"));
  EXPECT_THAT(problem_of(file_of("{} x", "")), HasSubstr("follows"));
  EXPECT_THAT(problem_of(file_of(std::string(200'000, '['), "")), HasSubstr("expected"));
  EXPECT_THAT(problem_of(file_of("{\"a\":" + std::string(200'000, '{'), "")), HasSubstr("expected"));
  EXPECT_THAT(problem_of(file_of(one(R"("dtype":"F32","shape":[2],"data_offsets":[0,4])"), "1234")), HasSubstr("takes 8"));
  EXPECT_THAT(problem_of(file_of(one(R"("dtype":"F32","shape":[1],"data_offsets":[4,8])"), "12345678")), HasSubstr("expected to begin at 0"));
  EXPECT_THAT(problem_of(file_of(one(R"("dtype":"F32","shape":[1],"data_offsets":[0,8])"), "1234")), HasSubstr("end by 4"));
  EXPECT_THAT(problem_of(file_of(one(R"("dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0])"), "")), HasSubstr("'a'"));
  EXPECT_THAT(problem_of(file_of(one(R"("dtype":"F32","shape":[-1],"data_offsets":[0,0])"), "")), HasSubstr("whole number"));
  EXPECT_THAT(problem_of(file_of(one(R"("dtype":"F32","shape":[1e3],"data_offsets":[0,0])"), "")), HasSubstr("expected"));
  EXPECT_THAT(problem_of(file_of(one(R"("dtype":"Q4","shape":[],"data_offsets":[0,0])"), "")), HasSubstr("'Q4'"));
  EXPECT_THAT(problem_of(file_of(one(R"("dtype":"U8","shape":[])"), "")), HasSubstr("must have"));
  EXPECT_THAT(problem_of(file_of(R"({"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}})", "")),
              HasSubstr("given twice"));
  EXPECT_THAT(problem_of(file_of(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"b":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})", "x")),
              HasSubstr("expected to begin at 1"));
  EXPECT_THAT(problem_of(file_of("{\"\\ud800\":{}}", "")), HasSubstr("surrogate"));
  EXPECT_THAT(problem_of(file_of("{\"\xff\":{}}", "")), HasSubstr("UTF-8"));
}

TEST(Safetensors, what_it_cannot_hold_is_an_error) {
  EXPECT_THROW(safetensors_bytes({{{"s", Tensor(DType::string, {1})}}, {}}), Error);
  EXPECT_THROW(safetensors_bytes({{{"a", Tensor(DType::u8, {1})}, {"a", Tensor(DType::u8, {1})}}, {}}), Error);
}

}  // namespace
}  // namespace outpost::test
