#include <immintrin.h>

#include "cpu_kernels/avx2/kernels.h"
#include "cpu_kernels/avx2/unit_decoder.h"
#include "cpu_kernels/float_products.h"
#include "cpu_kernels/scalar/kernels.h"

namespace baltoro::kernels::avx2 {
namespace {

struct Vectors {
    using Vec = __m256;
    static constexpr int kLanes = 8;
    static constexpr int kTransposedRows = 2;

    static constexpr int kGroup = 4;
    static constexpr int kFewRows = 2;
    static constexpr int kTileRows = 2;

    static Vec zero() { return _mm256_setzero_ps(); }
    static Vec set(float value) { return _mm256_set1_ps(value); }
    static Vec load(const float* from) { return _mm256_loadu_ps(from); }
    static void store(float* to, Vec v) { _mm256_storeu_ps(to, v); }
    static Vec mul(Vec a, Vec b) { return _mm256_mul_ps(a, b); }
    static Vec fma(Vec a, Vec b, Vec c) { return _mm256_fmadd_ps(a, b, c); }
    static float sum(Vec v) {
        const __m128 four = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
        const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
        return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
    }

    using Decoder = UnitDecoder;
    static void widen_bf16(const uint8_t* from, Vec (&to)[4]) { load_unit_of_bf16(from, to); }
    static void widen_fp8(const Decoder& decode, const uint8_t* from, Vec (&to)[4]) {
        decode(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)), to);
    }

    static void ordered_bf16(const uint8_t* from, Vec (&to)[2]) {
        for (int h = 0; h < 2; ++h) {
            const __m128i bits = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from + 16 * h));
            to[h] = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16));
        }
    }
    // The bits of e4m3 in place of those of f16 are the value / 256, subnormals included; NaN needs
    // the larger exponent. VCVTPH2PS is exact.
    static void ordered_fp8(const uint8_t* from, Vec (&to)[2]) {
        const __m256i codes =
            _mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
        const __m256i magnitude = _mm256_set1_epi16(0x3f80);
        const __m256i shifted = _mm256_slli_epi16(codes, 7);
        const __m256i nan = _mm256_cmpeq_epi16(_mm256_and_si256(shifted, magnitude), magnitude);
        // Sign extension has set bit 14 along with the sign.
        const __m256i bits = _mm256_or_si256(
            _mm256_and_si256(shifted, _mm256_set1_epi16(static_cast<short>(0xbf80))),
            _mm256_and_si256(nan, _mm256_set1_epi16(0x7c00)));
        to[0] = _mm256_cvtph_ps(_mm256_castsi256_si128(bits));
        to[1] = _mm256_cvtph_ps(_mm256_extracti128_si256(bits, 1));
    }
};

struct Level {
    using V = Vectors;
    static void gate_times_up(const float* gate, const float* up, bf16_t* dst, int n) noexcept {
        for (int i = 0; i < n; ++i)
            dst[i] = bf16_from_float(scalar::silu(gate[i]) * up[i]);
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

}  // namespace baltoro::kernels::avx2
