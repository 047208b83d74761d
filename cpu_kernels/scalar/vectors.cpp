#include "cpu_kernels/scalar/scalar_kernels.h"

namespace baltoro::kernels {

void rms_norm_scalar(const RmsNorm& args) noexcept {
    for (int r = 0; r < args.n_rows; r++) {
        const float* x = args.src + r * args.src_stride;
        float sum = 0.0f;
        for (int j = 0; j < args.n; j++)
            sum += x[j] * x[j];
        const float factor = 1.0f / __builtin_sqrtf(sum / static_cast<float>(args.n) + args.eps);
        for (int j = 0; j < args.n; j++) {
            const float y = float_from_bf16(args.gain[j]) * (x[j] * factor);
            const ptrdiff_t at = static_cast<ptrdiff_t>(r) * args.n + j;
            if (args.dst_f32 != nullptr) args.dst_f32[at] = y;
            if (args.dst_bf16 != nullptr) args.dst_bf16[at] = bf16_from_float(y);
        }
    }
}

void softmax_block_scalar(const SoftmaxBlock& args) noexcept {
    for (int r = 0; r < args.n_rows; r++) {
        float* s = args.s + r * args.stride;
        const int valid = args.valid[r] < args.n ? args.valid[r] : args.n;
        float max = args.m[r];
        for (int j = 0; j < valid; j++)
            max = args.scale * s[j] > max ? args.scale * s[j] : max;
        for (int j = valid > 0 ? valid : 0; j < args.n; j++)
            s[j] = 0.0f;
        args.correction[r] = 1.0f;
        if (valid <= 0) continue;
        args.correction[r] = __builtin_expf(args.m[r] - max);
        float sum = 0.0f;
        for (int j = 0; j < valid; j++) {
            s[j] = __builtin_expf(args.scale * s[j] - max);
            sum += s[j];
        }
        args.l[r] = args.l[r] * args.correction[r] + sum;
        args.m[r] = max;
    }
}

void bf16_from_f32_scalar(const float* src, bf16_t* dst, size_t n) noexcept {
    for (size_t i = 0; i < n; i++)
        dst[i] = bf16_from_float(src[i]);
}

void f32_from_bf16_scalar(const bf16_t* src, float* dst, size_t n) noexcept {
    for (size_t i = 0; i < n; i++)
        dst[i] = float_from_bf16(src[i]);
}

void add_scalar(const float* src, float* dst, size_t n) noexcept {
    for (size_t i = 0; i < n; i++)
        dst[i] += src[i];
}

void scale_scalar(float factor, float* dst, size_t n) noexcept {
    for (size_t i = 0; i < n; i++)
        dst[i] *= factor;
}

}  // namespace baltoro::kernels
