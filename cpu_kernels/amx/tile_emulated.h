#pragma once

#include <string.h>

#include "cpu_kernels/kernels.h"

// Tiles in memory with the semantics of TDPBF16PS, for checking the kernel where there is no AMX.
namespace baltoro::kernels {
namespace {

constexpr int kTileRows = 16;
constexpr int kTileRowBytes = 64;

class Tiles {
  public:
    explicit Tiles(int columns, int n_rows = kTileRows) noexcept
        : columns_(columns), n_rows_(n_rows) {}

    template <int T>
    void zero() noexcept {
        memset(tile_[T], 0, sizeof tile_[T]);
    }
    template <int T>
    void load(const void* from, ptrdiff_t stride_bytes) noexcept {
        for (int row = 0; row < rows<T>(); ++row)
            memcpy(tile_[T][row], static_cast<const uint8_t*>(from) + row * stride_bytes,
                   row_bytes<T>());
    }
    template <int T>
    void load_once(const void* from, ptrdiff_t stride_bytes) noexcept {
        load<T>(from, stride_bytes);
    }
    // For every pair in order: the even and the odd products are summed apart, then added; each
    // step rounds to nearest even, subnormals count as zero.
    template <int C, int A, int B>
    void multiply() noexcept {
        for (int m = 0; m < n_rows_; ++m)
            for (int n = 0; n < columns_; ++n) {
                float even = 0.0f;
                float odd = 0.0f;
                for (int pair = 0; pair < 16; ++pair) {
                    even = fused(element<A>(m, 2 * pair), element<B>(pair, 2 * n), even);
                    odd = fused(element<A>(m, 2 * pair + 1), element<B>(pair, 2 * n + 1), odd);
                }
                float sum;
                memcpy(&sum, &tile_[C][m][4 * n], sizeof sum);
                sum = flushed(flushed(sum) + flushed(even + odd));
                memcpy(&tile_[C][m][4 * n], &sum, sizeof sum);
            }
    }
    template <int T>
    void store(void* to, ptrdiff_t stride_bytes) noexcept {
        for (int row = 0; row < rows<T>(); ++row)
            memcpy(static_cast<uint8_t*>(to) + row * stride_bytes, tile_[T][row], row_bytes<T>());
    }

  private:
    template <int T>
    int rows() const noexcept {
        return T < 7 ? n_rows_ : kTileRows;
    }
    template <int T>
    size_t row_bytes() const noexcept {
        return T == 4 || T == 5 ? kTileRowBytes : 4 * static_cast<size_t>(columns_);
    }
    static float flushed(float value) noexcept {
        return __builtin_fabsf(value) < 0x1p-126f ? __builtin_copysignf(0.0f, value) : value;
    }
    static float fused(float a, float b, float sum) noexcept {
        return flushed(__builtin_fmaf(a, b, sum));
    }

    template <int T>
    float element(int row, int column) const noexcept {
        bf16_t bits;
        memcpy(&bits, &tile_[T][row][2 * column], sizeof bits);
        return flushed(float_from_bf16(bits));
    }

    int columns_;
    int n_rows_;
    uint8_t tile_[8][kTileRows][kTileRowBytes];
};

}  // namespace
}  // namespace baltoro::kernels
