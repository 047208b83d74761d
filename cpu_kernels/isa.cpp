#include "cpu_kernels/isa.h"

#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>

namespace baltoro::kernels {
namespace {

constexpr std::array<std::string_view, 5> kNames = {"scalar", "avx2", "avx512", "avx512_bf16",
                                                    "amx"};

struct Registers {
    unsigned a = 0;
    unsigned b = 0;
    unsigned c = 0;
    unsigned d = 0;
};

Registers cpuid(unsigned leaf, unsigned subleaf) noexcept {
    Registers r;
    if (__get_cpuid_count(leaf, subleaf, &r.a, &r.b, &r.c, &r.d) == 0) return {};
    return r;
}

bool has(unsigned value, int bit) noexcept {
    return ((value >> bit) & 1u) != 0;
}

// Which register states the operating system saves (XCR0).
unsigned long saved_states() noexcept {
    unsigned low = 0;
    unsigned high = 0;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (static_cast<unsigned long>(high) << 32) | low;
}

// Tile data is large, so Linux grants it per process on request only; CPUID alone is not enough.
bool request_tile_state() noexcept {
    constexpr long kRequestXcompPermission = 0x1023;  // ARCH_REQ_XCOMP_PERM
    constexpr long kTileData = 18;                    // XFEATURE_XTILEDATA
    return syscall(SYS_arch_prctl, kRequestXcompPermission, kTileData) == 0;
}

IsaLevel detect() noexcept {
    const Registers leaf1 = cpuid(1, 0);
    if (!has(leaf1.c, 27) || !has(leaf1.c, 12) || !has(leaf1.c, 29))
        return IsaLevel::scalar;  // OSXSAVE, FMA, F16C
    const unsigned long states = saved_states();
    constexpr unsigned long kYmm = 0x6;
    constexpr unsigned long kZmm = 0xe6;
    constexpr unsigned long kTiles = 0x60000;
    const Registers leaf7 = cpuid(7, 0);
    const Registers leaf7_1 = cpuid(7, 1);
    if ((states & kYmm) != kYmm || !has(leaf7.b, 5) || !has(leaf7.b, 8))
        return IsaLevel::scalar;  // AVX2, BMI2
    const bool is_avx512 =
        has(leaf7.b, 16) && has(leaf7.b, 17) && has(leaf7.b, 30) && has(leaf7.b, 31);  // F DQ BW VL
    if ((states & kZmm) != kZmm || !is_avx512) return IsaLevel::avx2;
    if (!has(leaf7.c, 1) || !has(leaf7_1.a, 5)) return IsaLevel::avx512;  // VBMI, BF16
    const bool is_amx = has(leaf7.d, 24) && has(leaf7.d, 22);             // AMX-TILE, AMX-BF16
    if ((states & kTiles) != kTiles || !is_amx || !request_tile_state())
        return IsaLevel::avx512_bf16;
    return IsaLevel::amx;
}

}  // namespace

std::string_view isa_name(IsaLevel level) noexcept {
    return kNames[static_cast<std::size_t>(level)];
}

Result<IsaLevel> isa_from_name(std::string_view name) {
    for (std::size_t i = 0; i < kNames.size(); i++)
        if (kNames[i] == name) return static_cast<IsaLevel>(i);
    return Failure{"unknown instruction set \"" + std::string(name) +
                   "\"; there are auto, scalar, avx2, avx512, avx512_bf16 and amx"};
}

IsaLevel best_isa() noexcept {
    static const IsaLevel best = detect();
    return best;
}

std::vector<IsaLevel> available_isas() {
    std::vector<IsaLevel> levels;
    for (int level = 0; level <= static_cast<int>(best_isa()); level++)
        levels.push_back(static_cast<IsaLevel>(level));
    return levels;
}

}  // namespace baltoro::kernels
