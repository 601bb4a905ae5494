// Reading inputs from files, pictures and words; writing outputs.
#include "values.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <numeric>
#if defined(OUTPOST_WITH_ZLIB)
#include <zlib.h>
#endif

#include "base/mapped_file.h"
#include "base/text.h"
#include "formats/npy/npy.h"
#include "formats/onnx/onnx.h"
#include "tensor/convert.h"

namespace outpost::cli {
namespace {

using Json = nlohmann::json;

#if defined(OUTPOST_WITH_ZLIB)
void inflate_member(std::span<const std::byte> in, std::span<std::byte> out) {
  z_stream stream{};
  if (inflateInit2(&stream, -MAX_WBITS) != Z_OK) fail(ErrorCode::internal, "zlib could not start");
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(in.data()));
  stream.avail_in = static_cast<uInt>(std::min<size_t>(in.size(), UINT32_MAX));
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(std::min<size_t>(out.size(), UINT32_MAX));
  const int status = inflate(&stream, Z_FINISH);
  const bool whole = status == Z_STREAM_END && stream.avail_out == 0 && out.size() <= UINT32_MAX;
  inflateEnd(&stream);
  if (!whole) fail(ErrorCode::invalid_data, "a compressed array does not hold what its header says");
}
#endif

NpzOptions npz_options() {
#if defined(OUTPOST_WITH_ZLIB)
  return {.inflate = inflate_member};
#else
  return {};
#endif
}

Type::Kind kind_of(TypeInfo::Kind kind) {
  switch (kind) {
    case TypeInfo::Kind::sequence: return Type::Kind::sequence;
    case TypeInfo::Kind::optional: return Type::Kind::optional;
    case TypeInfo::Kind::map: return Type::Kind::map;
    case TypeInfo::Kind::sparse_tensor: return Type::Kind::sparse_tensor;
    default: return Type::Kind::tensor;
  }
}

// `count` values in the declared shape: open dims take what is left, if there is one; else the shape is [count].
Shape shape_for(const TypeInfo& type, int64_t count) {
  Shape shape;
  int64_t fixed = 1;
  int open = -1;
  for (size_t d = 0; d < type.shape.size(); ++d) {
    shape.push_back(std::max<int64_t>(1, type.shape[d].size));
    if (type.shape[d].size < 0) open = static_cast<int>(d);  // the last open one
    else fixed *= type.shape[d].size;
  }
  if (!type.ranked) return Shape{count};
  if (open >= 0 && fixed > 0 && count % fixed == 0) shape[open] = count / fixed;
  if (shape.count() != count) fail(ErrorCode::invalid_argument, count, " values do not fill an input of ", to_string(type));
  return shape;
}

Tensor strings_tensor(const std::vector<std::string>& words, const TypeInfo& type) { return Tensor::of(words, shape_for(type, static_cast<int64_t>(words.size()))); }

Tensor literal(const std::string& value, const ValueInfo& input) {
  std::vector<double> numbers;
  const char* at = value.c_str();
  for (;;) {
    char* end = nullptr;
    numbers.push_back(std::strtod(at, &end));
    if (end == at || (*end && *end != ','))
      fail(ErrorCode::not_found, "input '", input.name, "': ", std::filesystem::is_directory(value) ? "" : "there is no file ", "'", value,
           std::filesystem::is_directory(value) ? "' is a folder; expected a file, or numbers with commas between" : "', nor are these numbers with commas between");
    if (!*end) break;
    at = end + 1;
  }
  Tensor t(input.type.dtype, shape_for(input.type, static_cast<int64_t>(numbers.size())));
  convert(DType::f64, numbers.data(), t.dtype(), t.raw(), t.count());
  return t;
}

std::vector<std::string> lines_of(const std::string& path) {
  const auto file = MappedFile::open(path);
  std::vector<std::string> lines;
  for (std::string_view rest = file->text(); !rest.empty();) {
    const size_t end = rest.find('\n');
    lines.emplace_back(rest.substr(0, end));
    rest = end == rest.npos ? std::string_view() : rest.substr(end + 1);
  }
  return lines;
}

// "NAME=VALUE"; without a name, that of the only one. Names may hold '=': the longest declared one that fits is meant.
std::pair<std::string, std::string> split_named(const std::string& argument, const std::vector<ValueInfo>& values, std::string_view what) {
  const ValueInfo* best = nullptr;
  for (const ValueInfo& v : values)
    if (argument.size() > v.name.size() && argument.starts_with(v.name) && argument[v.name.size()] == '=' && (!best || v.name.size() > best->name.size())) best = &v;
  if (best) return {best->name, argument.substr(best->name.size() + 1)};
  if (const size_t equals = argument.find('='); equals != argument.npos) return {argument.substr(0, equals), argument.substr(equals + 1)};
  if (values.size() == 1) return {values[0].name, argument};
  fail(ErrorCode::invalid_argument, "'", argument, "' does not say which ", what, "; the model has ", values.size(), ": use NAME=", argument);
}

std::string extension(const std::string& path) {
  std::string e = std::filesystem::path(path).extension().string();
  std::transform(e.begin(), e.end(), e.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  return e;
}

Tensor npz_member(const std::string& path, const std::string& name) {
  NamedTensors all = load_npz(path, npz_options());
  for (auto& [key, tensor] : all)
    if (key == name || all.size() == 1) return tensor;
  fail(ErrorCode::not_found, "'", path, "' has no array '", name, "'");
}

Datum read_value(const std::string& value, const ValueInfo& input, const ImageSpec& spec, Inputs& out) {
  if (value.starts_with("text:")) return strings_tensor({value.substr(5)}, input.type);
  std::error_code error;
  if (!std::filesystem::is_regular_file(value, error)) {
    if (input.type.dtype == DType::string) fail(ErrorCode::not_found, "input '", input.name, "': there is no file '", value, "'; write text:", value, " for the words themselves");
    return literal(value, input);
  }
  const std::string e = extension(value);
  if (e == ".npy") return load_npy(value);
  if (e == ".npz") return npz_member(value, input.name);
  if (e == ".pb") return load_onnx_value(value, kind_of(input.type.kind));
  if (is_image_file(value) && input.type.dtype != DType::string) {
    out.photo = load_image(value);
    out.picture = to_input(out.photo, input, spec);
    out.picture_input = input.name;
    out.has_picture = true;
    return out.picture.tensor;
  }
  if (input.type.dtype == DType::string) return strings_tensor(lines_of(value), input.type);
  fail(ErrorCode::unsupported, "input '", input.name, "': '", value, "' is not a .npy, .npz, .pb, .txt file or a picture");
}

Json json_of(const Datum& datum);

Json json_of(const Tensor& t) {
  Json data = Json::array();
  if (t.dtype() == DType::string) {
    for (const std::string& s : t.values<std::string>()) data.push_back(s);
  } else if (compute_type(t.dtype()) == DType::i64) {
    std::vector<int64_t> v(static_cast<size_t>(t.count()));
    convert(t.dtype(), t.raw(), DType::i64, v.data(), t.count());
    if (t.dtype() == DType::boolean) for (int64_t x : v) data.push_back(x != 0);
    else data = v;
  } else if (compute_type(t.dtype()) == DType::u64) {
    std::vector<uint64_t> v(static_cast<size_t>(t.count()));
    convert(t.dtype(), t.raw(), DType::u64, v.data(), t.count());
    data = v;
  } else if (t.dtype() == DType::complex64 || t.dtype() == DType::complex128) {
    std::vector<double> v(static_cast<size_t>(t.count()) * 2);
    convert(t.dtype(), t.raw(), DType::complex128, v.data(), t.count());
    data = v;  // real and imaginary parts, one after the other
  } else {
    std::vector<double> v(static_cast<size_t>(t.count()));
    convert(t.dtype(), t.raw(), DType::f64, v.data(), t.count());
    for (double x : v) {  // JSON has no infinities
      if (std::isfinite(x)) data.push_back(x);
      else data.push_back(std::isnan(x) ? "nan" : x > 0 ? "inf" : "-inf");
    }
  }
  return {{"dtype", name(t.dtype())}, {"shape", std::vector<int64_t>(t.shape().begin(), t.shape().end())}, {"data", std::move(data)}};
}

Json json_of(const Datum& d) {
  if (d.kind() == Datum::Kind::tensor) return json_of(d.tensor());
  if (!d.has_value()) return nullptr;
  Json items = Json::array();
  for (const Datum& item : d.items()) items.push_back(json_of(item));
  if (d.kind() == Datum::Kind::sequence) return items;
  return {{"keys", json_of(d.keys())}, {"values", std::move(items)}};
}

std::string dump(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

void write_text(const std::string& path, const std::string& content) {
  std::FILE* file = std::fopen(path.c_str(), "wb");
  const bool written = file && std::fwrite(content.data(), 1, content.size(), file) == content.size();
  if ((file && std::fclose(file) != 0) || !written) fail(ErrorCode::io, "'", path, "' cannot be written");
}

NamedTensors tensors_of(const Outputs& results) {
  NamedTensors all;
  for (size_t i = 0; i < results.size(); ++i)
    if (results.datum(i).kind() == Datum::Kind::tensor) all.emplace_back(results.name(i), results[i]);
  return all;
}

}  // namespace

void read_input(const std::string& argument, const std::vector<ValueInfo>& inputs, const ImageSpec& spec, Inputs& out) {
  if (extension(argument) == ".npz" && argument.find('=') == argument.npos) {
    for (auto& [name, tensor] : load_npz(argument, npz_options())) out.values.emplace_back(name, std::move(tensor));
    return;
  }
  const auto [name, value] = split_named(argument, inputs, "input");
  const auto at = std::find_if(inputs.begin(), inputs.end(), [&, &n = name](const ValueInfo& v) { return v.name == n; });
  if (at == inputs.end()) {
    std::string names;
    for (const ValueInfo& v : inputs) names += text(names.empty() ? "" : ", ", "'", v.name, "'");
    fail(ErrorCode::invalid_argument, "'", argument, "': the model has no input '", name, "'; it has ", names);
  }
  out.values.emplace_back(name, read_value(value, *at, spec, out));
}

void write_output(const std::string& argument, const std::vector<ValueInfo>& outputs, const Outputs& results) {
  const std::string e = extension(argument);
  if (argument.find('=') == argument.npos && e == ".npz") return save_npz(argument, tensors_of(results));
  if (argument.find('=') == argument.npos && e == ".json") return write_text(argument, outputs_as_json(results) + "\n");
  const auto [name, path] = split_named(argument, outputs, "output");
  const Datum& datum = results.datum(name);
  if (extension(path) == ".json") write_text(path, dump(json_of(datum)) + "\n");
  else if (extension(path) == ".npy") save_npy(path, datum.tensor());
  else fail(ErrorCode::unsupported, "output '", name, "': '", path, "' should end in .npy or .json");
}

std::string outputs_as_json(const Outputs& results) {
  Json all = Json::object();
  for (size_t i = 0; i < results.size(); ++i) all[results.name(i)] = json_of(results.datum(i));
  return dump(all);
}

std::vector<std::pair<size_t, double>> likeliest(const Tensor& scores, size_t count) {
  std::vector<double> values(static_cast<size_t>(scores.count()));
  convert(scores.dtype(), scores.raw(), DType::f64, values.data(), scores.count());
  values.resize(std::min(values.size(), static_cast<size_t>(scores.rank() ? scores.shape().back() : 1)));
  if (values.empty()) return {};
  const double sum = std::accumulate(values.begin(), values.end(), 0.0), least = *std::min_element(values.begin(), values.end());
  if (least < 0 || std::abs(sum - 1) > 0.01) {
    const double most = *std::max_element(values.begin(), values.end());
    double total = 0;
    for (double& v : values) total += v = std::exp(v - most);
    for (double& v : values) v /= total;
  }
  std::vector<size_t> order(values.size());
  std::iota(order.begin(), order.end(), size_t{0});
  count = std::min(count, order.size());
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return values[a] > values[b]; });
  std::vector<std::pair<size_t, double>> top;
  for (size_t i = 0; i < count; ++i) top.emplace_back(order[i], values[order[i]]);
  return top;
}

std::string describe_datum(const Datum& d) {
  if (!d.has_value()) return "nothing";
  if (d.kind() != Datum::Kind::tensor) return text(d.kind() == Datum::Kind::map ? "map" : "sequence", " of ", d.items().size());
  const Tensor& t = d.tensor();
  std::string out = text(t.dtype(), t.shape());
  if (t.count() == 0) return out;
  if (t.dtype() == DType::string) {
    for (size_t i = 0; i < std::min<size_t>(4, t.values<std::string>().size()); ++i) out += text("  \"", t.values<std::string>()[i], "\"");
    return out;
  }
  if (t.dtype() == DType::complex64 || t.dtype() == DType::complex128) return out;
  std::vector<double> v(static_cast<size_t>(t.count()));
  convert(t.dtype(), t.raw(), DType::f64, v.data(), t.count());
  double least = INFINITY, most = -INFINITY, sum = 0;
  size_t odd = 0;
  for (double x : v) {
    if (!std::isfinite(x)) ++odd;
    else least = std::min(least, x), most = std::max(most, x), sum += x;
  }
  char buffer[160];
  std::snprintf(buffer, sizeof buffer, "  min %.5g  mean %.5g  max %.5g", least, sum / static_cast<double>(v.size() - odd), most);
  if (odd < v.size()) out += buffer;
  if (odd) out += text("  ", odd, " not finite");
  out += "  [";
  for (size_t i = 0; i < std::min<size_t>(4, v.size()); ++i) {
    std::snprintf(buffer, sizeof buffer, "%s%.4g", i ? ", " : "", v[i]);
    out += buffer;
  }
  return out + (v.size() > 4 ? ", …]" : "]");
}

}  // namespace outpost::cli
