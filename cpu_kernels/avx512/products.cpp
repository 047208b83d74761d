#include <immintrin.h>

#include "cpu_kernels/avx512/kernels.h"
#include "cpu_kernels/avx512/unit_decoder.h"
#include "cpu_kernels/avx512/vector_math.h"
#include "cpu_kernels/float_products.h"

namespace baltoro::kernels::avx512 {
namespace {

struct Vectors {
    using Vec = __m512;
    static constexpr int kLanes = 16;
    static constexpr int kTransposedRows = 4;

    static constexpr int kGroup = 8;
    static constexpr int kFewRows = 4;
    static constexpr int kTileRows = 3;

    static Vec zero() { return _mm512_setzero_ps(); }
    static Vec set(float value) { return _mm512_set1_ps(value); }
    static Vec load(const float* from) { return _mm512_loadu_ps(from); }
    static void store(float* to, Vec v) { _mm512_storeu_ps(to, v); }
    static Vec mul(Vec a, Vec b) { return _mm512_mul_ps(a, b); }
    static Vec fma(Vec a, Vec b, Vec c) { return _mm512_fmadd_ps(a, b, c); }
    static float sum(Vec v) { return _mm512_reduce_add_ps(v); }

    using Decoder = UnitDecoder;
    static void widen_bf16(const uint8_t* from, Vec (&to)[4]) { load_unit_of_bf16(from, to); }
    static void widen_fp8(const Decoder& decode, const uint8_t* from, Vec (&to)[4]) {
        decode(_mm512_loadu_si512(from), to);
    }

    static void ordered_bf16(const uint8_t* from, Vec (&to)[2]) {
        for (int h = 0; h < 2; ++h)
            to[h] =
                ps_from_bf16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from + 32 * h)));
    }
    // The bits of e4m3 in place of those of f16 are the value / 256, subnormals included; NaN needs
    // the larger exponent. VCVTPH2PS is exact.
    static void ordered_fp8(const uint8_t* from, Vec (&to)[2]) {
        const __m512i codes =
            _mm512_cvtepi8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
        const __m512i magnitude = _mm512_set1_epi16(0x3f80);
        const __m512i shifted = _mm512_slli_epi16(codes, 7);
        const __mmask32 nan =
            _mm512_cmpeq_epi16_mask(_mm512_and_si512(shifted, magnitude), magnitude);
        // Sign extension has set bit 14 along with the sign.
        const __m512i bits = _mm512_or_si512(
            _mm512_and_si512(shifted, _mm512_set1_epi16(static_cast<short>(0xbf80))),
            _mm512_maskz_set1_epi16(nan, 0x7c00));
        to[0] = _mm512_cvtph_ps(_mm512_castsi512_si256(bits));
        to[1] = _mm512_cvtph_ps(_mm512_extracti64x4_epi64(bits, 1));
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
