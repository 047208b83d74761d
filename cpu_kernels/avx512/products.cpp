#include <immintrin.h>

#include "cpu_kernels/avx512/float_rows.h"
#include "cpu_kernels/avx512/kernels.h"
#include "cpu_kernels/avx512/unit_decoder.h"
#include "cpu_kernels/avx512/vector_math.h"
#include "cpu_kernels/router_products.h"
#include "cpu_kernels/transposed_products.h"

namespace baltoro::kernels::avx512 {
namespace {

struct Vectors {
    using Vec = __m512;
    static constexpr int kLanes = 16;
    static constexpr int kTransposedRows = 8;

    static constexpr int kGroup = 8;
    static constexpr int kFewRows = 4;

    static Vec zero() { return _mm512_setzero_ps(); }
    static Vec set(float value) { return _mm512_set1_ps(value); }
    static Vec load(const float* from) { return _mm512_loadu_ps(from); }
    static void store(float* to, Vec v) { _mm512_storeu_ps(to, v); }
    static Vec mul(Vec a, Vec b) { return _mm512_mul_ps(a, b); }
    static Vec fma(Vec a, Vec b, Vec c) { return _mm512_fmadd_ps(a, b, c); }
    static float sum(Vec v) { return _mm512_reduce_add_ps(v); }

    // Halves, then quarters of two vectors become one, at last pairs of lanes.
    static void sum8(const Vec (&v)[8], float (&to)[8]) {
        Vec half[4];
        for (int i = 0; i < 4; ++i)
            half[i] = _mm512_add_ps(_mm512_shuffle_f32x4(v[i], v[i + 4], 0x44),
                                    _mm512_shuffle_f32x4(v[i], v[i + 4], 0xee));
        // The quarters of v[i], v[i + 4], v[i + 2], v[i + 6].
        Vec quarter[2];
        for (int i = 0; i < 2; ++i)
            quarter[i] = _mm512_add_ps(_mm512_shuffle_f32x4(half[i], half[i + 2], 0x88),
                                       _mm512_shuffle_f32x4(half[i], half[i + 2], 0xdd));
        const Vec pair = _mm512_add_ps(_mm512_unpacklo_ps(quarter[0], quarter[1]),
                                       _mm512_unpackhi_ps(quarter[0], quarter[1]));
        const Vec sum = _mm512_add_ps(pair, _mm512_permute_ps(pair, 0x4e));
        // Lanes 0 and 1 of each quarter.
        const __m512i order = _mm512_setr_epi32(0, 1, 8, 9, 4, 5, 12, 13, 0, 0, 0, 0, 0, 0, 0, 0);
        _mm256_storeu_ps(to, _mm512_castps512_ps256(_mm512_permutexvar_ps(order, sum)));
    }

    using Decoder = UnitDecoder<WeightFormat::fp8_block>;
    static void widen_bf16(const uint8_t* from, Vec (&to)[4]) { load_unit_of_bf16(from, to); }
    static void widen_fp8(const Decoder& decode, const uint8_t* from, Vec (&to)[4]) {
        decode(from, to);
    }

    static void ordered_bf16(const uint8_t* from, Vec (&to)[2]) {
        for (int h = 0; h < 2; ++h)
            to[h] =
                ps_from_bf16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from + 32 * h)));
    }

    static void split_bf16(const uint8_t* from, Vec (&to)[2]) {
        split_pairs(_mm512_loadu_si512(from), to[0], to[1]);
    }
    static void deinterleave(Vec (&v)[2]) {
        const __m512i even =
            _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
        const Vec first = v[0];
        v[0] = _mm512_permutex2var_ps(first, even, v[1]);
        v[1] = _mm512_permutex2var_ps(first, _mm512_add_epi32(even, _mm512_set1_epi32(1)), v[1]);
    }
    static void interleave(Vec (&v)[2]) {
        const __m512i low =
            _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
        const Vec even = v[0];
        v[0] = _mm512_permutex2var_ps(even, low, v[1]);
        v[1] = _mm512_permutex2var_ps(even, _mm512_add_epi32(low, _mm512_set1_epi32(8)), v[1]);
    }
};

struct Level {
    using V = Vectors;
    static void gate_times_up(const float* gate, const float* up, bf16_t* dst, int n) noexcept {
        silu_times(gate, up, dst, n);
    }
};

}  // namespace

size_t row_scratch_bytes(int k) noexcept {
    return float_row_scratch_bytes(k);
}

void rows_product(const RowsProduct& a) noexcept {
    float_rows_product<Level>(a);
}

void rows_gate_up(const RowsGateUp& a) noexcept {
    float_rows_gate_up<Level>(a);
}

void transposed_product(const TransposedProduct& a) noexcept {
    transposed_product_of<Vectors>(a);
}

void router_product(const RouterProduct& a) noexcept {
    router_product_of<Vectors>(a);
}

}  // namespace baltoro::kernels::avx512
