#pragma once

#include "cpu_kernels/avx512/vector_math.h"
#include "cpu_kernels/code_bytes.h"
#include "cpu_kernels/registers.h"

namespace baltoro::kernels {
namespace {

// 64 weights as bf16, in order.
struct Bf16x64 {
    __m512i first;
    __m512i second;
};

constexpr SubnormalBytes kSubnormals = make_subnormal_bytes(0);

// A matrix for GF2P8AFFINEQB that moves bits: `from[i]` is the source of bit i, or -1 for zero.
constexpr int64_t bit_moves(const int (&from)[8]) {
    uint64_t matrix = 0;
    for (int i = 0; i < 8; ++i)
        if (from[i] >= 0) matrix |= uint64_t{1} << (8 * (7 - i) + from[i]);
    return static_cast<int64_t>(matrix);
}

// e4m3 -> bf16, exact for every code. With code = s eeee mmm, the exponent 120 + eeee of bf16 has
// the bits e3 ~e3 ~e3 ~e3 ~e3 e2 e1 e0, so both bytes are moves of bits, one instruction each. That
// fails for codes without an exponent and for NaN; 64 codes without either, nearly all there are,
// skip their part.
class Decoder {
    __m512i to_low = _mm512_set1_epi64(bit_moves({-1, -1, -1, -1, 0, 1, 2, 3}));
    __m512i to_high = _mm512_set1_epi64(bit_moves({4, 5, 6, 6, 6, 6, 6, 7}));
    // Unpacking interleaves within 128-bit lanes; this order of quadwords makes its result linear.
    __m512i order = _mm512_setr_epi64(0, 4, 1, 5, 2, 6, 3, 7);
    __m512i first_normal = _mm512_set1_epi8(2 * 8);
    __m512i n_normals = _mm512_set1_epi8(static_cast<char>(2 * (127 - 8)));

  public:
    // The bytes of 64 bf16. Unpacking them leaves those of 128-bit lanes together.
    struct Halves {
        __m512i low;
        __m512i high;
        Bf16x64 unpacked() const {
            return {_mm512_unpacklo_epi8(low, high), _mm512_unpackhi_epi8(low, high)};
        }
    };

    Bf16x64 operator()(__m512i codes) const {
        return exact_halves(_mm512_permutexvar_epi64(order, codes)).unpacked();
    }

    // Wrong where a code has no exponent or is NaN: those are added to `special`, in another order.
    [[gnu::always_inline]] Bf16x64 normal(__m512i codes, __mmask64& special) const {
        return normal_halves(_mm512_permutexvar_epi64(order, codes), special).unpacked();
    }

    Halves exact_halves(__m512i codes) const {
        __mmask64 special = 0;
        Halves halves = normal_halves(codes, special);
        if (__builtin_expect(!_kortestz_mask64_u8(special, special), 0))
            decode_special(codes, halves.low, halves.high);
        return halves;
    }

    [[gnu::always_inline]] Halves normal_halves(__m512i codes, __mmask64& special) const {
        special |= special_of(codes);
        return {_mm512_gf2p8affine_epi64_epi8(codes, to_low, 0),
                _mm512_gf2p8affine_epi64_epi8(codes, to_high, 0x3c)};
    }

    // Whether a code has no exponent or is NaN.
    bool any_special(__m512i codes) const {
        const __mmask64 special = special_of(codes);
        return !_kortestz_mask64_u8(special, special);
    }

    void keep_in_registers() {
        keep_in_register(to_low);
        keep_in_register(to_high);
        keep_in_register(order);
        keep_in_register(first_normal);
        keep_in_register(n_normals);
    }

  private:
    __mmask64 special_of(__m512i codes) const {
        const __m512i magnitude = _mm512_sub_epi8(_mm512_add_epi8(codes, codes), first_normal);
        return _mm512_cmpge_epu8_mask(magnitude, n_normals);
    }

    static void decode_special(__m512i codes, __m512i& low, __m512i& high) {
        const __m512i sign = _mm512_set1_epi8(static_cast<char>(0x80));
        const __mmask64 subnormal = _mm512_testn_epi8_mask(codes, _mm512_set1_epi8(0x78));
        low =
            _mm512_mask_permutexvar_epi8(low, subnormal, codes, _mm512_load_si512(kSubnormals.low));
        high = _mm512_mask_permutexvar_epi8(high, subnormal, codes,
                                            _mm512_load_si512(kSubnormals.high));
        high = _mm512_or_si512(high, _mm512_and_si512(codes, sign));
        const __mmask64 nan = _mm512_cmpeq_epi8_mask(_mm512_or_si512(codes, sign),
                                                     _mm512_set1_epi8(static_cast<char>(0xff)));
        low = _mm512_mask_mov_epi8(low, nan, _mm512_set1_epi8(static_cast<char>(0xc0)));
        high = _mm512_or_si512(high, _mm512_maskz_set1_epi8(nan, 0x7f));
    }
};

// Loads up to n of 64 weights of format F that start at `row` + offset j.
template <WeightFormat F>
Bf16x64 load_weights(const Decoder& decode, const uint8_t* row, ptrdiff_t j, ptrdiff_t n) {
    if constexpr (F == WeightFormat::bf16)
        return {_mm512_maskz_loadu_epi16(first_lanes32(n), row + 2 * j),
                _mm512_maskz_loadu_epi16(first_lanes32(n - 32), row + 2 * j + 64)};
    else
        return decode(_mm512_maskz_loadu_epi8(first_lanes64(n), row + j));
}

// 32 codes of a row and of the row after it.
inline __m512i load_two(const uint8_t* row, ptrdiff_t stride) {
    const auto* first = reinterpret_cast<const __m256i*>(row);
    const auto* second = reinterpret_cast<const __m256i*>(row + stride);
    return _mm512_inserti64x4(_mm512_castsi256_si512(_mm256_loadu_si256(first)),
                              _mm256_loadu_si256(second), 1);
}

}  // namespace
}  // namespace baltoro::kernels
