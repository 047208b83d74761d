#include <immintrin.h>

#include "cpu_kernels/avx512/avx512.h"
#include "cpu_kernels/avx512/exp.h"

namespace baltoro::kernels {
namespace {

__mmask16 mask_of(size_t n) noexcept {
    return static_cast<__mmask16>(n >= 16 ? 0xffffu : (1u << n) - 1u);
}

// Round to nearest even; NaN becomes quiet.
__m256i bf16_of(__m512 value) noexcept {
    const __m512i bits = _mm512_castps_si512(value);
    const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    __m512i rounded = _mm512_srli_epi32(
        _mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff)), odd), 16);
    const __m512i quiet = _mm512_or_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(0x40));
    rounded = _mm512_mask_mov_epi32(rounded, _mm512_cmp_ps_mask(value, value, _CMP_UNORD_Q), quiet);
    return _mm512_cvtepi32_epi16(rounded);
}

__m512 f32_of(__m256i bits) noexcept {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16));
}

__m512 load_bf16(const bf16_t* at, __mmask16 mask) noexcept {
    return f32_of(_mm256_maskz_loadu_epi16(mask, at));
}

// sum over j of x[j]^2 in four independent chains.
float square_sum(const float* x, size_t n) noexcept {
    __m512 sums[4] = {_mm512_setzero_ps(), _mm512_setzero_ps(), _mm512_setzero_ps(),
                      _mm512_setzero_ps()};
    for (size_t j = 0; j < n; j += 64) {
        for (size_t c = 0; c < 4 && j + c * 16 < n; c++) {
            const __m512 value = _mm512_maskz_loadu_ps(mask_of(n - j - c * 16), x + j + c * 16);
            sums[c] = _mm512_fmadd_ps(value, value, sums[c]);
        }
    }
    return _mm512_reduce_add_ps(
        _mm512_add_ps(_mm512_add_ps(sums[0], sums[1]), _mm512_add_ps(sums[2], sums[3])));
}

}  // namespace

void rms_norm_avx512(const RmsNorm& args) noexcept {
    const auto n = static_cast<size_t>(args.n);
    for (int r = 0; r < args.n_rows; r++) {
        const float* x = args.src + r * args.src_stride;
        const float mean = square_sum(x, n) / static_cast<float>(args.n);
        const __m512 factor = _mm512_set1_ps(1.0f / __builtin_sqrtf(mean + args.eps));
        const size_t row = static_cast<size_t>(r) * n;
        for (size_t j = 0; j < n; j += 16) {
            const __mmask16 mask = mask_of(n - j);
            const __m512 y =
                _mm512_mul_ps(load_bf16(args.gain + j, mask),
                              _mm512_mul_ps(_mm512_maskz_loadu_ps(mask, x + j), factor));
            if (args.dst_f32 != nullptr) _mm512_mask_storeu_ps(args.dst_f32 + row + j, mask, y);
            if (args.dst_bf16 != nullptr)
                _mm256_mask_storeu_epi16(args.dst_bf16 + row + j, mask, bf16_of(y));
        }
    }
}

void softmax_block_avx512(const SoftmaxBlock& args) noexcept {
    const __m512 lowest = _mm512_set1_ps(-__builtin_inff());
    const __m512 scale = _mm512_set1_ps(args.scale);
    const auto n = static_cast<size_t>(args.n);
    for (int r = 0; r < args.n_rows; r++) {
        float* s = args.s + r * args.stride;
        const int in_range = args.valid[r] < args.n ? args.valid[r] : args.n;
        const size_t valid = in_range > 0 ? static_cast<size_t>(in_range) : 0;
        __m512 max = _mm512_set1_ps(args.m[r]);
        for (size_t j = 0; j < valid; j += 16) {
            const __mmask16 mask = mask_of(valid - j);
            max = _mm512_max_ps(
                max, _mm512_mask_mul_ps(lowest, mask, scale, _mm512_maskz_loadu_ps(mask, s + j)));
        }
        args.correction[r] = 1.0f;
        const float row_max = _mm512_reduce_max_ps(max);
        __m512 sum = _mm512_setzero_ps();
        for (size_t j = 0; j < n; j += 16) {
            const __mmask16 inside = mask_of(n - j);
            const __mmask16 mask = j < valid ? mask_of(valid - j) : __mmask16{0};
            const __m512 scaled = _mm512_mul_ps(scale, _mm512_maskz_loadu_ps(mask, s + j));
            const __m512 p =
                _mm512_maskz_mov_ps(mask, exp_ps(_mm512_sub_ps(scaled, _mm512_set1_ps(row_max))));
            _mm512_mask_storeu_ps(s + j, inside, p);
            sum = _mm512_add_ps(sum, p);
        }
        if (valid == 0) continue;
        args.correction[r] = _mm512_cvtss_f32(exp_ps(_mm512_set1_ps(args.m[r] - row_max)));
        args.l[r] = args.l[r] * args.correction[r] + _mm512_reduce_add_ps(sum);
        args.m[r] = row_max;
    }
}

void bf16_from_f32_avx512(const float* src, bf16_t* dst, size_t n) noexcept {
    for (size_t i = 0; i < n; i += 16) {
        const __mmask16 mask = mask_of(n - i);
        _mm256_mask_storeu_epi16(dst + i, mask, bf16_of(_mm512_maskz_loadu_ps(mask, src + i)));
    }
}

void f32_from_bf16_avx512(const bf16_t* src, float* dst, size_t n) noexcept {
    for (size_t i = 0; i < n; i += 16) {
        const __mmask16 mask = mask_of(n - i);
        _mm512_mask_storeu_ps(dst + i, mask, load_bf16(src + i, mask));
    }
}

void add_avx512(const float* src, float* dst, size_t n) noexcept {
    for (size_t i = 0; i < n; i += 16) {
        const __mmask16 mask = mask_of(n - i);
        _mm512_mask_storeu_ps(dst + i, mask,
                              _mm512_add_ps(_mm512_maskz_loadu_ps(mask, dst + i),
                                            _mm512_maskz_loadu_ps(mask, src + i)));
    }
}

void scale_avx512(float factor, float* dst, size_t n) noexcept {
    for (size_t i = 0; i < n; i += 16) {
        const __mmask16 mask = mask_of(n - i);
        _mm512_mask_storeu_ps(
            dst + i, mask,
            _mm512_mul_ps(_mm512_maskz_loadu_ps(mask, dst + i), _mm512_set1_ps(factor)));
    }
}

}  // namespace baltoro::kernels
