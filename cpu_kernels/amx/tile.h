#pragma once

#include <immintrin.h>

#include "cpu_kernels/kernels.h"

// The AMX instructions the panel kernel uses, so that the same kernel can be compiled with
// tile_emulated.h on CPUs without AMX. Tile numbers are part of the instruction, hence templates.
namespace baltoro::kernels {
namespace {

constexpr int kTileRows = 16;
constexpr int kTileRowBytes = 64;

// Hardware tiles of the calling thread, all 16 rows x 64 bytes, for the life of the object.
// Configured per call: about a hundred cycles next to many thousands of a chunk, and the thread
// never carries 8 KB of tile state through a context switch while it does something else.
class Tiles {
  public:
    Tiles() noexcept {
        struct alignas(64) Config {
            uint8_t palette = 1;
            uint8_t start_row = 0;
            uint8_t reserved[14] = {};
            uint16_t row_bytes[16] = {};
            uint8_t rows[16] = {};
        } config;
        for (int t = 0; t < 8; ++t) {
            config.row_bytes[t] = kTileRowBytes;
            config.rows[t] = kTileRows;
        }
        // g++ 12 declares only 8 bytes of the operand as read and would drop the other stores.
        __asm__ volatile("" ::"r"(&config) : "memory");
        _tile_loadconfig(&config);
    }
    ~Tiles() { _tile_release(); }
    Tiles(const Tiles&) = delete;
    Tiles& operator=(const Tiles&) = delete;

    // Written out because the intrinsics of g++ 12 are macros that paste the tile's digit and do
    // not take a template argument.
    template <int T>
    void zero() noexcept {
        __asm__ volatile("tilezero %%tmm%c0" ::"i"(T));
    }
    template <int T>
    void load(const void* from, ptrdiff_t stride_bytes) noexcept {
        __asm__ volatile("tileloadd (%1,%2,1), %%tmm%c0" ::"i"(T), "r"(from), "r"(stride_bytes)
                         : "memory");
    }
    // C += A . B over 16 pairs of bf16.
    template <int C, int A, int B>
    void multiply() noexcept {
        __asm__ volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(C), "i"(A), "i"(B));
    }
    template <int T>
    void store(void* to, ptrdiff_t stride_bytes) noexcept {
        __asm__ volatile("tilestored %%tmm%c0, (%1,%2,1)" ::"i"(T), "r"(to), "r"(stride_bytes)
                         : "memory");
    }
};

}  // namespace
}  // namespace baltoro::kernels
