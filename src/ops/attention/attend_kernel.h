// Attention as the CPU kernel takes it, where it can: f32 arithmetic, no scores wanted.
#pragma once
#include <optional>

#include "kernels/attention.h"
#include "ops/attention/attend.h"

namespace outpost {

std::optional<kernels::Attention> kernel_form(const Attend&);
size_t kernel_scratch_bytes(const kernels::Attention&, int threads);
void attend(const RunContext&, const kernels::Attention&, void* scratch);

}  // namespace outpost
