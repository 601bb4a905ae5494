// Writing a whole file so that no reader ever sees half of it: into a new file beside it, which then takes its name.
#pragma once
#include <filesystem>
#include <span>
#include <string_view>

namespace outpost {

// Writes the pieces one after another. An existing regular file is replaced only when everything is written (who mapped
// the old one keeps it); pipes and devices are written to directly. Throws Error(io), leaving the old file as it was.
void write_file(const std::filesystem::path& path, std::span<const std::string_view> pieces);
inline void write_file(const std::filesystem::path& path, std::string_view content) { write_file(path, std::span(&content, 1)); }

}  // namespace outpost
