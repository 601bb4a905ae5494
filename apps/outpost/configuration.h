// What the environment says: OUTPOST_ISA, OUTPOST_THREADS, OUTPOST_PASSES (names to leave out, or "none"), OUTPOST_DEBUG_FILL,
// OUTPOST_CACHE (a folder for prepared models).
// Read here and nowhere else; the library does not look at the environment.
#pragma once
#include "outpost/session.h"

namespace outpost::cli {

SessionOptions session_options();
// Chooses the instruction set of OUTPOST_ISA; throws Error(invalid_argument) where it is unknown or missing here.
void choose_instruction_set();

}  // namespace outpost::cli
