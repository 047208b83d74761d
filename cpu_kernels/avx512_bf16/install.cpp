#include "cpu_kernels/levels.h"

namespace baltoro::kernels::avx512_bf16 {

void install(Table&) noexcept {}

}  // namespace baltoro::kernels::avx512_bf16
