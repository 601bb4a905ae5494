// A name for the program (or library) that holds this code, different for every build: what it wrote to a cache is good
// for the same build only.
#pragma once
#include <string>

namespace outpost {

// The linker's build id in hexadecimal; where it wrote none, the size and time of change of the file. Never throws.
const std::string& program_identity() noexcept;

}  // namespace outpost
