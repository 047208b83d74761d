#include "cpu_kernels/levels.h"

namespace baltoro::kernels::amx {

void install(Table&) noexcept {}

}  // namespace baltoro::kernels::amx
