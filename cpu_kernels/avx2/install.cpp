#include "cpu_kernels/levels.h"

namespace baltoro::kernels::avx2 {

void install(Table&) noexcept {}

}  // namespace baltoro::kernels::avx2
