#include "configuration.h"

#include <cstdlib>
#include <string_view>

#include "base/text.h"
#include "base/thread_pool.h"
#include "kernels/kernels.h"

namespace outpost::cli {
namespace {

std::string_view variable(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

}  // namespace

SessionOptions session_options() {
  SessionOptions o;
  o.threads = ThreadPool::hardware_threads();
  if (const auto threads = variable("OUTPOST_THREADS"); !threads.empty()) {
    o.threads = std::atoi(threads.data());
    if (o.threads < 1) fail(ErrorCode::invalid_argument, "OUTPOST_THREADS=", threads, ": expected a number of at least 1");
  }
  std::string_view passes = variable("OUTPOST_PASSES");
  if (passes == "none" || passes == "off") passes = "all";
  while (!passes.empty()) {
    const size_t comma = std::min(passes.find(','), passes.size());
    if (comma > 0) o.passes_off.emplace_back(passes.substr(0, comma));
    passes.remove_prefix(std::min(comma + 1, passes.size()));
  }
  o.cache_directory = variable("OUTPOST_CACHE");
  o.debug_fill = !variable("OUTPOST_DEBUG_FILL").empty() && variable("OUTPOST_DEBUG_FILL") != "0";
  return o;
}

void choose_instruction_set() {
  const auto isa = variable("OUTPOST_ISA");
  if (isa.empty() || kernels::select_kernels(isa)) return;
  std::string known;
  for (int i = 0; const kernels::Kernels* k = kernels::available_kernels(i); ++i) known += text(known.empty() ? "" : ", ", k->isa);
  fail(ErrorCode::invalid_argument, "OUTPOST_ISA=", isa, ": this machine runs ", known);
}

}  // namespace outpost::cli
