#include "cpu_kernels/isa.h"

#include <string.h>
#include <unistd.h>

#include <array>

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#endif

namespace baltoro::kernels {
namespace {

constexpr std::array<std::string_view, 5> kNames = {"scalar", "avx2", "avx512", "avx512_bf16",
                                                    "amx"};

#if defined(__x86_64__)

struct Cpuid {
    unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
};

// All zeros where the CPU has no such leaf.
Cpuid cpuid(unsigned leaf, unsigned subleaf) noexcept {
    Cpuid r;
    __get_cpuid_count(leaf, subleaf, &r.eax, &r.ebx, &r.ecx, &r.edx);
    return r;
}

bool has_bits(uint64_t value, uint64_t bits) noexcept {
    return (value & bits) == bits;
}

constexpr uint64_t bit(int position) {
    return uint64_t{1} << position;
}

// The register states the operating system saves; zero without XSAVE. XGETBV is written out because
// its intrinsic needs -mxsave.
uint64_t saved_states() noexcept {
    if (!has_bits(cpuid(1, 0).ecx, bit(27))) return 0;
    uint32_t low = 0;
    uint32_t high = 0;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t{high} << 32) | low;
}

constexpr uint64_t kYmmState = 0x06;
constexpr uint64_t kZmmState = 0xe6;
constexpr uint64_t kTileState = 0x600e6;

// Linux grants the 8 KB of tile data per process and on request only.
bool request_tile_permission() noexcept {
    constexpr long kRequestPermission = 0x1023;  // ARCH_REQ_XCOMP_PERM
    constexpr long kTileData = 18;               // XFEATURE_XTILEDATA
    return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}

std::string cpu_vendor() {
    const Cpuid r = cpuid(0, 0);
    std::string vendor(12, ' ');
    memcpy(&vendor[0], &r.ebx, 4);
    memcpy(&vendor[4], &r.edx, 4);
    memcpy(&vendor[8], &r.ecx, 4);
    return vendor;
}

IsaLevel detect() noexcept {
    const Cpuid basic = cpuid(1, 0);
    const Cpuid extended = cpuid(7, 0);
    const Cpuid extended1 = cpuid(7, 1);
    const uint64_t states = saved_states();
    // FMA, F16C; AVX2, BMI2
    if (!has_bits(states, kYmmState) || !has_bits(basic.ecx, bit(12) | bit(29)) ||
        !has_bits(extended.ebx, bit(5) | bit(8)))
        return IsaLevel::scalar;
    // F, DQ, BW, VL
    if (!has_bits(states, kZmmState) ||
        !has_bits(extended.ebx, bit(16) | bit(17) | bit(30) | bit(31)))
        return IsaLevel::avx2;
    // VBMI, GFNI; BF16
    if (!has_bits(extended.ecx, bit(1) | bit(8)) || !has_bits(extended1.eax, bit(5)))
        return IsaLevel::avx512;
    // AMX-BF16, AMX-TILE
    if (!has_bits(states, kTileState) || !has_bits(extended.edx, bit(22) | bit(24)) ||
        !request_tile_permission())
        return IsaLevel::avx512_bf16;
    return IsaLevel::amx;
}

#else

std::string cpu_vendor() {
    return {};
}

IsaLevel detect() noexcept {
    return IsaLevel::scalar;
}

#endif

}  // namespace

std::string_view isa_name(IsaLevel level) noexcept {
    return kNames[static_cast<size_t>(level)];
}

Result<IsaLevel> isa_from_name(std::string_view name) {
    for (size_t i = 0; i < kNames.size(); ++i)
        if (kNames[i] == name) return static_cast<IsaLevel>(i);
    return Failure{"no instruction set is named '" + std::string(name) +
                   "'; there are scalar, avx2, avx512, avx512_bf16, amx"};
}

IsaLevel highest_isa() noexcept {
    static const IsaLevel highest = detect();
    return highest;
}

IsaLevel fastest_isa(IsaLevel highest, std::string_view vendor) noexcept {
    return highest == IsaLevel::avx512_bf16 && vendor == "GenuineIntel" ? IsaLevel::avx512
                                                                        : highest;
}

IsaLevel best_isa() noexcept {
    static const IsaLevel best = fastest_isa(highest_isa(), cpu_vendor());
    return best;
}

size_t first_level_bytes() noexcept {
    const long bytes = sysconf(_SC_LEVEL1_DCACHE_SIZE);
    return bytes > 0 ? static_cast<size_t>(bytes) : 32 * 1024;
}

std::vector<IsaLevel> available_isas() {
    std::vector<IsaLevel> levels;
    for (int i = 0; i <= static_cast<int>(highest_isa()); ++i)
        levels.push_back(static_cast<IsaLevel>(i));
    return levels;
}

}  // namespace baltoro::kernels
