#include "cpu_kernels/levels.h"

namespace baltoro::kernels::avx512 {

void install(Table&) noexcept {}

}  // namespace baltoro::kernels::avx512
