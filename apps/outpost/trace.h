// A run's steps as a Chrome trace (chrome://tracing, Perfetto): one slice a step, with its work as arguments.
#pragma once
#include <string>
#include <vector>

#include "outpost/session.h"

namespace outpost::cli {

// Format: "Trace Event Format", complete events. Throws Error(io).
void save_trace(const std::string& path, const std::string& model, const std::vector<ProfileEntry>& steps, int threads);

}  // namespace outpost::cli
