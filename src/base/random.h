#pragma once

#include <cmath>
#include <cstdint>

namespace baltoro {

// A counter-based generator: value i of a seed needs no value before it, so a tensor can be filled
// by many threads and still be the same. The mixing function is splitmix64's finaliser (Steele,
// Lea, Flood, "Fast splittable pseudorandom number generators", 2014).
class Random {
  public:
    explicit Random(std::uint64_t seed) noexcept : state_(mix(seed + kGolden)) {}

    std::uint64_t next() noexcept { return mix(state_ += kGolden); }

    // Uniform in [0, 1) with 53 bits.
    double uniform() noexcept { return static_cast<double>(next() >> 11) * 0x1.0p-53; }

    // Uniform in [0, n); n > 0. The bias of at most n / 2^64 is accepted.
    std::uint64_t below(std::uint64_t n) noexcept {
        __extension__ using Wide = unsigned __int128;
        return static_cast<std::uint64_t>((static_cast<Wide>(next()) * n) >> 64);
    }

    // Normal with mean 0 and deviation 1 (Box-Muller, one of the pair).
    double normal() noexcept {
        const double u = 1.0 - uniform();
        return std::sqrt(-2.0 * std::log(u)) * std::cos(6.283185307179586 * uniform());
    }

    // The next value becomes number `index` of this seed's stream (0 is the first).
    void seek(std::uint64_t index) noexcept { state_ = origin_ + index * kGolden; }

  private:
    static constexpr std::uint64_t kGolden = 0x9e3779b97f4a7c15ull;

    static std::uint64_t mix(std::uint64_t z) noexcept {
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
        return z ^ (z >> 31);
    }

    std::uint64_t state_;
    std::uint64_t origin_ = state_;
};

}  // namespace baltoro
