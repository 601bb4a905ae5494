// NumPy's .npy and .npz files: one array, or a zip archive of named arrays.
//
// dtypes: bool, the integers, f16, f32, f64, complex64/128; fixed-width Unicode ('U') and byte ('S') strings become
// string tensors (UTF-8, trailing NULs dropped). Fortran order and big-endian files are converted. Of the types
// that NumPy lacks, bf16 is 'V2' (as ml_dtypes writes it) in both directions, float8 is written as bits ('V1', read as
// u8), 4- and 2-bit integers are written as int8/uint8 and float4 as f32.
// Files are untrusted: sizes are checked before use, and pickled objects are refused.
// Source: numpy.org/doc/stable/reference/generated/numpy.lib.format.html; APPNOTE.TXT (zip).
#pragma once
#include <cstddef>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "outpost/tensor.h"

namespace outpost {

// An array of contiguous memory in the file's own layout shares `owner`'s memory (when given); others are copied.
// Throws Error(invalid_model | unsupported | limit); `name` stands for the file in messages.
Tensor read_npy(std::span<const std::byte> bytes, std::shared_ptr<const void> owner = nullptr, const std::string& name = "npy");
Tensor load_npy(const std::filesystem::path& path);
std::string npy_bytes(const Tensor& tensor);
void save_npy(const std::filesystem::path& path, const Tensor& tensor);

using NamedTensors = std::vector<std::pair<std::string, Tensor>>;

// Raw deflate (RFC 1951) into exactly out.size() bytes; throws Error when that cannot be. The library has no
// decompressor of its own: an application that reads compressed archives passes one.
using Inflate = std::function<void(std::span<const std::byte> in, std::span<std::byte> out)>;

struct NpzOptions {
  Inflate inflate;                  // empty: compressed members are Error(unsupported)
  uint64_t memory_limit_bytes = 0;  // of all members together; 0: 1 GiB + 16 times the file's size
};
NamedTensors read_npz(std::span<const std::byte> bytes, std::shared_ptr<const void> owner = nullptr, const std::string& name = "npz",
                      const NpzOptions& options = {});
NamedTensors load_npz(const std::filesystem::path& path, const NpzOptions& options = {});
std::string npz_bytes(const NamedTensors& tensors);  // stored, not compressed
void save_npz(const std::filesystem::path& path, const NamedTensors& tensors);

}  // namespace outpost
