#pragma once

#include <cstdint>

#include "cpu_kernels/kernels.h"

namespace baltoro::testing {

// A table with only what the executor calls, as obvious loops, so that its tests do not depend on
// the instruction sets of the machine. Groups of `panel_min_rows` rows or more use panels.
kernels::Table plain_kernels(int panel_min_rows = INT32_MAX);

// One weight as a float, scale included.
float weight_at(const kernels::Weight& w, int i, int j);

}  // namespace baltoro::testing
