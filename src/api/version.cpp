// The library's version, from the build.
#include "outpost/outpost.h"

namespace outpost {

const char* version() noexcept { return OUTPOST_VERSION; }

}  // namespace outpost
