#pragma once

#include "gpu_kernels/kernels.h"
#include "gpu_kernels/simt/simt.h"

namespace baltoro::gpu {
namespace {

constexpr int kPrefillThreads = 256;
constexpr int kWarpQueries = 16;
constexpr int kPrefillQueries = kPrefillThreads / 32 * kWarpQueries;  // of one block
constexpr int kPrefillKeys = 64;                                      // of one tile

// The sizes an instance is compiled for: head dimensions are padded to them.
template <int kQkOf, int kVOf>
struct PrefillTile {
    static constexpr int kQk = kQkOf;  // nope + rope or more
    static constexpr int kV = kVOf;    // v_head_dim or more
    // Eight elements more, so that the eight rows of an ldmatrix lie in different banks.
    static constexpr int kStride = kQk + kV + 8;
    static_assert(kQk % 16 == 0 && kV % 16 == 0 && (kQk + kV) % 64 == 0);

    struct Shared {
        bf16_t tokens[2][kPrefillKeys][kStride];  // of each: the key, then the value
    };
    // A warp's 16 queries, as fragments, and what it adds up for them.
    using Queries = uint32_t[kQk / 16][4];
    using Sums = float[kV / 8][4];
};

// The scores of 16 queries and 64 keys: of thread 4 g + t, queries g and g + 8.
using PrefillScores = float[kPrefillKeys / 8][4];

struct PrefillWork {
    int head;
    int first_query;  // of the warp
    int n_tiles;      // of keys, of the block
};

// Starts copying a tile of keys and values of one head; what lies outside is zero. Eight threads
// copy 128 neighbouring bytes of a token.
template <typename Tile>
__device__ void copy_keys(const MlaPrefill& args,
                          int head,
                          int first,
                          bf16_t (*dst)[Tile::kStride]) {
    constexpr int kLanes = 8;
    constexpr int kRows = kPrefillThreads / kLanes;
    const int nope = args.shapes.qk_nope_head_dim;
    const int rope_dim = args.shapes.qk_rope_head_dim;
    const int v_head_dim = args.shapes.v_head_dim;
    const int first_column = static_cast<int>(threadIdx.x) % kLanes * 8;
#pragma unroll
    for (int i = 0; i < kPrefillKeys / kRows; i++) {
        const int row = i * kRows + static_cast<int>(threadIdx.x) / kLanes;
        const bool is_token = first + row < args.n_tokens;
        const int64_t token = is_token ? first + row : 0;
        const bf16_t* kv = args.kv + (token * args.shapes.n_heads + head) * (nope + v_head_dim);
        const bf16_t* rope_key = args.rope_key + token * rope_dim;
#pragma unroll
        for (int j = 0; j < Tile::kQk + Tile::kV; j += kLanes * 8) {
            const int column = first_column + j;
            const int v_column = column - Tile::kQk;
            const bf16_t* src = nullptr;
            if (column < nope)
                src = kv + column;
            else if (column < nope + rope_dim)
                src = rope_key + (column - nope);
            else if (v_column >= 0 && v_column < v_head_dim)
                src = kv + nope + v_column;
            const bool is_inside = is_token && src != nullptr;
            simt::async_copy16(&dst[row][column], is_inside ? src : args.kv, is_inside);
        }
    }
}

// The fragments of this warp's queries; zero outside.
template <typename Tile>
__device__ void load_rotated_queries(const MlaPrefill& args,
                                     const PrefillWork& work,
                                     typename Tile::Queries& queries) {
    const int lane = static_cast<int>(threadIdx.x % 32);
    const int head_dim = args.shapes.qk_nope_head_dim + args.shapes.qk_rope_head_dim;
#pragma unroll
    for (int step = 0; step < Tile::kQk / 16; step++) {
#pragma unroll
        for (int i = 0; i < 4; i++) {
            const int64_t row = work.first_query + lane / 4 + i % 2 * 8;
            const int column = step * 16 + i / 2 * 8 + lane % 4 * 2;
            const bool is_inside = row < args.n_rows && column < head_dim;
            const int64_t at = (row * args.shapes.n_heads + work.head) * head_dim + column;
            queries[step][i] = is_inside ? *reinterpret_cast<const uint32_t*>(args.q + at) : 0u;
        }
    }
}

}  // namespace
}  // namespace baltoro::gpu
