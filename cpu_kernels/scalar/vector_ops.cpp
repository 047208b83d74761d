#include <math.h>

#include "cpu_kernels/scalar/kernels.h"

namespace baltoro::kernels::scalar {
namespace {

void softmax_row(float* s, int n_valid, const SoftmaxBlock& a, int r) noexcept {
    float m = a.m[r];
    for (int j = 0; j < n_valid; ++j)
        m = fmaxf(m, a.scale * s[j]);
    // While every score is -infinity nothing has weight: subtracting 0 keeps exp(-inf) = 0 where
    // -inf - -inf would give NaN.
    const float origin = m == -INFINITY ? 0.0f : m;
    const float correction = expf(a.m[r] - origin);
    float sum = 0.0f;
    for (int j = 0; j < n_valid; ++j) {
        s[j] = expf(a.scale * s[j] - origin);
        sum += s[j];
    }
    a.m[r] = m;
    a.l[r] = a.l[r] * correction + sum;
    a.correction[r] = correction;
}

}  // namespace

void rms_norm(const RmsNorm& a) noexcept {
    for (int r = 0; r < a.n_rows; ++r) {
        const float* x = a.src + r * a.src_stride;
        float sum = 0.0f;
        for (int j = 0; j < a.n; ++j)
            sum += x[j] * x[j];
        const float norm = sqrtf(sum / static_cast<float>(a.n) + a.eps);
        for (int j = 0; j < a.n; ++j) {
            const float y = float_from_bf16(a.gain[j]) * (x[j] / norm);
            const ptrdiff_t at = static_cast<ptrdiff_t>(r) * a.n + j;
            if (a.dst_f32) a.dst_f32[at] = y;
            if (a.dst_bf16) a.dst_bf16[at] = bf16_from_float(y);
        }
    }
}

void softmax_block(const SoftmaxBlock& a) noexcept {
    for (int r = 0; r < a.n_rows; ++r) {
        float* s = a.s + r * a.stride;
        const int n_valid = a.valid[r] < 0 ? 0 : a.valid[r] < a.n ? a.valid[r] : a.n;
        if (n_valid == 0)
            a.correction[r] = 1.0f;
        else
            softmax_row(s, n_valid, a, r);
        for (int j = n_valid; j < a.n; ++j)
            s[j] = 0.0f;
    }
}

void bf16_from_f32(const float* src, bf16_t* dst, size_t n) noexcept {
    for (size_t i = 0; i < n; ++i)
        dst[i] = bf16_from_float(src[i]);
}

void f32_from_bf16(const bf16_t* src, float* dst, size_t n) noexcept {
    for (size_t i = 0; i < n; ++i)
        dst[i] = float_from_bf16(src[i]);
}

void add(const float* src, float* dst, size_t n) noexcept {
    for (size_t i = 0; i < n; ++i)
        dst[i] += src[i];
}

void scale(float factor, float* dst, size_t n) noexcept {
    for (size_t i = 0; i < n; ++i)
        dst[i] *= factor;
}

}  // namespace baltoro::kernels::scalar
