#include <immintrin.h>

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

    static Vec zero() { return _mm512_setzero_ps(); }
    static Vec set(float value) { return _mm512_set1_ps(value); }
    static Vec load(const float* from) { return _mm512_loadu_ps(from); }
    static void store(float* to, Vec v) { _mm512_storeu_ps(to, v); }
    static Vec fma(Vec a, Vec b, Vec c) { return _mm512_fmadd_ps(a, b, c); }
    static float sum(Vec v) { return _mm512_reduce_add_ps(v); }

    using Decoder = UnitDecoder<WeightFormat::fp8_block>;
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

}  // namespace

void transposed_product(const TransposedProduct& a) noexcept {
    transposed_product_of<Vectors>(a);
}

void router_product(const RouterProduct& a) noexcept {
    router_product_of<Vectors>(a);
}

}  // namespace baltoro::kernels::avx512
