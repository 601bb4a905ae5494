// Tensor data kept in files beside the model. A hostile model must not reach any other file: a location is a relative
// path of plain names, every folder and the file itself are opened without following symbolic links, beneath one root,
// and the file must be regular with a single name (a hard link could bring in someone else's file).
// Background: CVE-2022-25882, CVE-2024-27318, CVE-2026-27489 and kin.
#pragma once
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>

#include "base/mapped_file.h"
#include "formats/onnx/wire.h"

namespace outpost::onnx {

class ExternalData {
 public:
  // `root` empty: there is none, and every reference is an error.
  ExternalData(std::string file, std::filesystem::path root, Budget& budget)
      : file_(std::move(file)), root_(std::move(root)), budget_(budget) {}
  // The whole file at `location`, mapped once per load. Throws Error(invalid_model | io).
  const std::shared_ptr<const MappedFile>& open(std::string_view location);

 private:
  std::string file_;  // the model, for messages
  std::filesystem::path root_;
  Budget& budget_;
  std::unordered_map<std::string, std::shared_ptr<const MappedFile>> open_;
};

}  // namespace outpost::onnx
