#pragma once

#include "cpu_kernels/kernels.h"

// Each level replaces the entries of `table` that it does better than the level below it; the
// functions only store pointers, so they run on any CPU.
namespace baltoro::kernels {

namespace scalar {
void install(Table& table) noexcept;
}
namespace avx2 {
void install(Table& table) noexcept;
}
namespace avx512 {
void install(Table& table) noexcept;
}
namespace avx512_bf16 {
void install(Table& table) noexcept;
// As on a CPU whose first cache level for data has so many bytes.
void install_for(size_t first_level_bytes, Table& table) noexcept;
}  // namespace avx512_bf16
namespace amx {
void install(Table& table) noexcept;
}

}  // namespace baltoro::kernels
