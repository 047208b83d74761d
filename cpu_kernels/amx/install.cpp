#include "cpu_kernels/amx/kernels.h"
#include "cpu_kernels/levels.h"

namespace baltoro::kernels::amx {

void install(Table& table) noexcept {
    table.panels_product = panels_product;
    table.panels_gate_up = panels_gate_up;
}

}  // namespace baltoro::kernels::amx
