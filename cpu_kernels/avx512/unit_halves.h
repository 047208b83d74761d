#pragma once

#include <immintrin.h>

#include "cpu_kernels/avx512/unit_decoder.h"
#include "cpu_kernels/kernels.h"

namespace baltoro::kernels {
namespace {

// A unit of W weight rows, to be widened half by half, since registers do not hold it. bf16: the
// first and the second 32, each as the even and the odd ones.
template <WeightFormat F, int W>
struct UnitHalves {
    __m512i half[W][2];

    void load(const uint8_t* at, ptrdiff_t row_bytes) {
#pragma GCC unroll 8
        for (int s = 0; s < W; ++s) {
            half[s][0] = _mm512_loadu_si512(at + s * row_bytes);
            half[s][1] = _mm512_loadu_si512(at + s * row_bytes + 64);
        }
    }

    template <int H>
    void widen(__m512 (&to)[W][2]) const {
#pragma GCC unroll 8
        for (int s = 0; s < W; ++s)
            split_pairs(half[s][H], to[s][0], to[s][1]);
    }
};

// e4m3, as UnitDecoder has it: the vectors of places 0 and 2 of every four, then 1 and 3.
template <int W>
struct UnitHalves<WeightFormat::fp8_block, W> {
    using Decoder = UnitDecoder<WeightFormat::fp8_block>;

    Decoder decode;
    __m512i codes[W];
    bool is_special;

    void load(const uint8_t* at, ptrdiff_t row_bytes) {
        __m512i largest = _mm512_setzero_si512();
#pragma GCC unroll 8
        for (int s = 0; s < W; ++s) {
            codes[s] = _mm512_loadu_si512(at + s * row_bytes);
            const __m512i place = decode.place(codes[s]);
            largest = s == 0 ? place : _mm512_max_epu8(largest, place);
        }
        is_special = decode.has_special(largest);
    }

    template <int H>
    void widen(__m512 (&to)[W][2]) const {
#pragma GCC unroll 8
        for (int s = 0; s < W; ++s)
            split_pairs(decode.bf16_of(H == 0 ? _mm512_slli_epi16(codes[s], 8) : codes[s]),
                        to[s][0], to[s][1]);
        if (__builtin_expect(is_special, 0))
#pragma GCC unroll 8
            for (int s = 0; s < W; ++s)
                for (__m512& v : to[s])
                    v = Decoder::mend(v);
    }
};

}  // namespace
}  // namespace baltoro::kernels
