#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "cpu_kernels/kernels.h"

namespace baltoro::kernels {

// Ordered bundles of instruction sets that people own; each includes the ones before it.
//   avx2         AVX2, FMA, F16C, BMI2
//   avx512       AVX-512 F, BW, DQ, VL
//   avx512_bf16  + VBMI, BF16
//   amx          + AMX-TILE, AMX-BF16, granted by the kernel (arch_prctl ARCH_REQ_XCOMP_PERM)
enum class IsaLevel { scalar, avx2, avx512, avx512_bf16, amx };

std::string_view isa_name(IsaLevel level) noexcept;

// "scalar", "avx2", ...; "auto" is the caller's business.
Result<IsaLevel> isa_from_name(std::string_view name);

// The highest level this CPU and kernel run; asks the kernel for the AMX tile state once (any
// thread, before the workers start).
IsaLevel highest_isa() noexcept;

// The fastest level for everything, of a CPU by `vendor` (as CPUID spells it) whose highest level
// is `highest`. That is `highest`, except that Intel's VDPBF16PS does 16 multiply-adds in a cycle
// where its FMA does 32 (measured on Emerald Rapids: README.md), so avx512 is faster than
// avx512_bf16.
IsaLevel fastest_isa(IsaLevel highest, std::string_view vendor) noexcept;

// The fastest level of this CPU: what `auto` means.
IsaLevel best_isa() noexcept;

// Bytes of a core's first cache level for data; 32 KB where the system does not tell.
size_t first_level_bytes() noexcept;

// Levels this machine runs, lowest first.
std::vector<IsaLevel> available_isas();

// The kernels of `level`; precondition: the machine runs it. Valid for the life of the process.
const Table& table_for(IsaLevel level) noexcept;

}  // namespace baltoro::kernels
