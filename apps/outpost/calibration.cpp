// Reading calibration samples; files may be pictures or arrays, one sample or many.
#include "calibration.h"

#include <algorithm>
#include <cstring>
#include <filesystem>

#include "base/text.h"
#include "image.h"

namespace outpost::cli {
namespace {

namespace fs = std::filesystem;

std::vector<std::string> files_of(const std::string& path) {
  std::error_code error;
  if (fs::is_regular_file(path, error)) return {path};
  if (!fs::is_directory(path, error)) fail(ErrorCode::not_found, "calibration data '", path, "' is neither a file nor a folder");
  std::vector<std::string> files;
  for (fs::recursive_directory_iterator at(path, fs::directory_options::skip_permission_denied, error), end; !error && at != end; at.increment(error)) {
    const std::string name = at->path().filename().string(), e = at->path().extension().string();
    if (!at->is_regular_file(error) || name.starts_with(".")) continue;
    if (e == ".npy" || e == ".npz" || e == ".pb" || is_image_file(at->path().string())) files.push_back(at->path().string());
  }
  std::sort(files.begin(), files.end());
  return files;
}

// How many samples `t` holds for an input that takes `declared` along its first axis: 1 unless that is fixed.
int64_t samples_in(const Tensor& t, const TypeInfo& type) {
  const bool fits = type.ranked && t.rank() == static_cast<int>(type.shape.size()) && t.rank() > 0;
  if (!fits || t.dtype() == DType::string) return 1;
  const int64_t declared = type.shape[0].size < 0 ? 1 : type.shape[0].size;
  return declared > 0 && t.shape()[0] > declared && t.shape()[0] % declared == 0 ? t.shape()[0] / declared : 1;
}

Tensor part_of(const Tensor& t, int64_t count, int64_t index) {
  if (count == 1) return t;
  Shape shape = t.shape();
  shape[0] /= count;
  Tensor part(t.dtype(), shape);
  std::memcpy(part.raw(), static_cast<const std::byte*>(t.raw()) + part.bytes() * static_cast<size_t>(index), part.bytes());
  return part;
}

void check(const Sample& sample, const Model& model, const std::string& file) {
  for (const ValueInfo& in : model.inputs()) {
    const auto at = std::find_if(sample.begin(), sample.end(), [&](const auto& p) { return p.first == in.name; });
    if (at == sample.end()) fail(ErrorCode::invalid_argument, "'", file, "' holds no value for input '", in.name, "', ", to_string(in.type));
    if (at->second.kind() != Datum::Kind::tensor || in.type.kind != TypeInfo::Kind::tensor) continue;
    const Tensor& t = at->second.tensor();
    bool same = t.dtype() == in.type.dtype && (!in.type.ranked || t.rank() == static_cast<int>(in.type.shape.size()));
    for (size_t d = 0; same && in.type.ranked && d < in.type.shape.size(); ++d)
      same = in.type.shape[d].size < 0 || in.type.shape[d].size == t.shape()[static_cast<int>(d)];
    if (!same)
      fail(ErrorCode::invalid_argument, "'", file, "' holds ", t.dtype(), t.shape(), " for input '", in.name, "'; the model expects ", to_string(in.type));
  }
}

void add_file(const std::string& file, const Model& model, const ImageSpec& spec, size_t limit, std::vector<Sample>& samples) {
  Inputs read;
  const bool all = fs::path(file).extension() == ".npz";
  if (!all && model.inputs().size() != 1)
    fail(ErrorCode::invalid_argument, "'", file, "': the model has ", model.inputs().size(), " inputs; calibrate it on .npz files that hold each by its name");
  read_input(all ? file : model.inputs()[0].name + "=" + file, model.inputs(), spec, read);
  if (all)  // what the model does not know is of no use to it
    std::erase_if(read.values, [&](const auto& p) {
      return std::none_of(model.inputs().begin(), model.inputs().end(), [&](const ValueInfo& in) { return in.name == p.first; });
    });
  int64_t count = 1;
  for (const auto& [name, value] : read.values)
    for (const ValueInfo& in : model.inputs())
      if (in.name == name && value.kind() == Datum::Kind::tensor) count = std::max(count, samples_in(value.tensor(), in.type));
  for (int64_t i = 0; i < count && samples.size() < limit; ++i) {
    Sample sample;
    for (const auto& [name, value] : read.values) {
      const bool splits = value.kind() == Datum::Kind::tensor && value.tensor().rank() > 0 && value.tensor().shape()[0] % count == 0;
      sample.emplace_back(name, splits ? Datum(part_of(value.tensor(), count, i)) : value);
    }
    check(sample, model, file);
    samples.push_back(std::move(sample));
  }
}

}  // namespace

std::vector<Sample> load_samples(const std::string& path, const Model& model, const ImageSpec& spec, size_t limit) {
  const std::vector<std::string> files = files_of(path);
  std::vector<Sample> samples;
  for (const std::string& file : files) {
    if (samples.size() >= limit) break;
    add_file(file, model, spec, limit, samples);
  }
  if (samples.empty())
    fail(ErrorCode::invalid_argument, "'", path, "' holds no calibration data; put pictures, .npy or .npz files there");
  return samples;
}

}  // namespace outpost::cli
