// See external_data.h. The confinement itself (no links, beneath the root) is MappedFile::open_beneath.
#include "formats/onnx/external_data.h"

#include "base/text.h"

namespace outpost::onnx {

const std::shared_ptr<const MappedFile>& ExternalData::open(std::string_view location) {
  auto& known = open_[std::string(location)];
  if (known) return known;  // null also after a failure, which ends the load
  if (root_.empty())
    fail(ErrorCode::invalid_argument, file_, ": tensor data is in the external file '", location,
         "', but a model read from memory has no folder; set LoadOptions::external_data_root");
  try {
    known = MappedFile::open_beneath(root_, location);
  } catch (const Error& error) {
    fail(error.code(), file_, ": external_data location: ", error.what());
  }
  budget_.allow(known->bytes().size());
  return known;
}

}  // namespace outpost::onnx
