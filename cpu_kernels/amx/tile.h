#pragma once

#include <immintrin.h>

#include "cpu_kernels/kernels.h"

// The AMX instructions the kernels use, so that the same kernels can be compiled with
// tile_emulated.h on CPUs without AMX. Tile numbers are part of the instruction, hence templates.
namespace baltoro::kernels {
namespace {

constexpr int kTileRows = 16;
constexpr int kTileRowBytes = 64;

// Hardware tiles of the calling thread, for the life of the object: rows of 64 bytes in the A tiles
// 4 and 5 and of 4 * `columns` bytes in the C tiles 0 to 3 and the B tiles 6 and 7; 16 rows in tile
// 7, `n_rows` in the others (with less than 16, tile 6 is an A tile too). Configured per call:
// about a hundred cycles next to many thousands of a chunk, and the thread never carries 8 KB of
// tile state through a context switch while it does something else.
class Tiles {
  public:
    explicit Tiles(int columns, int n_rows = kTileRows) noexcept {
        struct alignas(64) Config {
            uint8_t palette = 1;
            uint8_t start_row = 0;
            uint8_t reserved[14] = {};
            uint16_t row_bytes[16] = {};
            uint8_t rows[16] = {};
        } config;
        for (int t = 0; t < 8; ++t) {
            config.row_bytes[t] =
                t == 4 || t == 5 ? kTileRowBytes : static_cast<uint16_t>(4 * columns);
            config.rows[t] = t < 7 ? static_cast<uint8_t>(n_rows) : kTileRows;
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
    // For what is read once, from the second cache level: it leaves the first level alone.
    template <int T>
    void load_once(const void* from, ptrdiff_t stride_bytes) noexcept {
        __asm__ volatile("tileloaddt1 (%1,%2,1), %%tmm%c0" ::"i"(T), "r"(from), "r"(stride_bytes)
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
