#include <immintrin.h>

#include "cpu_kernels/avx2/kernels.h"
#include "cpu_kernels/avx2/unit_decoder.h"
#include "cpu_kernels/avx2/vector_math.h"
#include "cpu_kernels/router_products.h"
#include "cpu_kernels/transposed_products.h"

namespace baltoro::kernels::avx2 {
namespace {

struct Vectors {
    using Vec = __m256;
    static constexpr int kLanes = 8;
    static constexpr int kTransposedRows = 4;

    static Vec zero() { return _mm256_setzero_ps(); }
    static Vec set(float value) { return _mm256_set1_ps(value); }
    static Vec load(const float* from) { return _mm256_loadu_ps(from); }
    static void store(float* to, Vec v) { _mm256_storeu_ps(to, v); }
    static Vec fma(Vec a, Vec b, Vec c) { return _mm256_fmadd_ps(a, b, c); }
    static float sum(Vec v) { return add_lanes(v); }

    using Decoder = UnitDecoder<WeightFormat::fp8_block>;
    static void widen_fp8(const Decoder& decode, const uint8_t* from, Vec (&to)[4]) {
        decode(from, to);
    }

    static void ordered_bf16(const uint8_t* from, Vec (&to)[2]) {
        for (int h = 0; h < 2; ++h) {
            const __m128i bits = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from + 16 * h));
            to[h] = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16));
        }
    }

    static void split_bf16(const uint8_t* from, Vec (&to)[2]) {
        split_pairs(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)), to[0], to[1]);
    }
    static void deinterleave(Vec (&v)[2]) {
        const Vec even = _mm256_shuffle_ps(v[0], v[1], 0x88);
        const Vec odd = _mm256_shuffle_ps(v[0], v[1], 0xdd);
        v[0] = _mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(even), 0xd8));
        v[1] = _mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(odd), 0xd8));
    }
    static void interleave(Vec (&v)[2]) {
        const Vec low = _mm256_unpacklo_ps(v[0], v[1]);
        const Vec high = _mm256_unpackhi_ps(v[0], v[1]);
        v[0] = _mm256_permute2f128_ps(low, high, 0x20);
        v[1] = _mm256_permute2f128_ps(low, high, 0x31);
    }
};

}  // namespace

void transposed_product(const TransposedProduct& a) noexcept {
    transposed_product_of<Vectors>(a);
}

void router_product(const RouterProduct& a) noexcept {
    router_product_of<Vectors>(a);
}

}  // namespace baltoro::kernels::avx2
