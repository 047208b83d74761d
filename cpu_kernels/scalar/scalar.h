#pragma once

#include "cpu_kernels/kernels.h"

namespace baltoro::kernels {

// Sets every kernel of the table to the plain C++ one: the reference of all levels.
void fill_scalar(Table& table) noexcept;

}  // namespace baltoro::kernels
