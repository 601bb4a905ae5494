// A profile as a picture: the roofline with every step on it, and the slowest steps as bars.
#pragma once
#include <string>

#include "profile_data.h"

namespace outpost::cli {

// Throws Error(invalid_argument) for a path that ends neither in .png nor in .svg, Error(io).
void save_roofline(const std::string& path, const Profile& profile);

}  // namespace outpost::cli
