#pragma once

#include "cpu_kernels/kernels.h"

// Panel kernels in AMX tiles (TDPBF16PS); operands and results that are subnormal count as zero.
namespace baltoro::kernels::amx {

void panels_product(const PanelsProduct& a) noexcept;
void panels_gate_up(const PanelsGateUp& a) noexcept;

}  // namespace baltoro::kernels::amx

// The same kernels with tiles in memory, for tests on any CPU with avx512_bf16.
namespace baltoro::kernels::amx_emulated {

void panels_product(const PanelsProduct& a) noexcept;
void panels_gate_up(const PanelsGateUp& a) noexcept;

}  // namespace baltoro::kernels::amx_emulated
