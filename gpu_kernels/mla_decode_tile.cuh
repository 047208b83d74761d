#pragma once

#include "gpu_kernels/kernels.h"
#include "gpu_kernels/simt/simt.h"

namespace baltoro::gpu {
namespace {

constexpr int kDecodeThreads = 128;
constexpr int kDecodeWarps = kDecodeThreads / 32;
constexpr int kTileTokens = 32;

// Tokens of one part of a row: whole tiles, so that a tile never leaves a page.
__device__ int split_tokens(int n_tokens) {
    const int least = (n_tokens + MlaDecode::kMaxSplits - 1) / MlaDecode::kMaxSplits;
    const int tiles = (least + kTileTokens - 1) / kTileTokens;
    const int tokens = tiles * kTileTokens;
    return tokens < MlaDecode::kMinSplitTokens ? MlaDecode::kMinSplitTokens : tokens;
}

// The sizes an instance is compiled for: shapes are padded to them. The latent and the rotated key
// of a token are one row, to the products of the queries as well; the first kRank columns serve as
// values too.
template <int kRankOf, int kDimOf, int kHeadsOf>
struct DecodeTile {
    static constexpr int kRank = kRankOf;    // kv_lora_rank or more
    static constexpr int kDim = kDimOf;      // latent_dim or more
    static constexpr int kHeads = kHeadsOf;  // of one block
    static constexpr int kHeadTiles = kHeads / 16;
    static constexpr int kSteps = kDim / 16 / kDecodeWarps;      // of 16 columns, of one warp
    static constexpr int kColumns = kRank / kDecodeWarps;        // of the values, of one warp
    static constexpr int kHeadLanes = kDecodeThreads / kHeads;   // threads of one head's softmax
    static constexpr int kPairs = kTileTokens / kHeadLanes / 2;  // of tokens, of each of them
    // Eight elements more, so that the eight rows of an ldmatrix lie in different banks.
    static constexpr int kStride = kDim + 8;
    static constexpr int kScoreStride = kTileTokens + 8;
    static_assert(kDim % (16 * kDecodeWarps) == 0 && kColumns % 16 == 0);

    struct Shared {
        bf16_t latents[2][kTileTokens][kStride];
        float scores[kDecodeWarps][kHeads][kScoreStride];  // every warp's part of the columns
        uint32_t weights[kHeads][kScoreStride / 2];        // pairs of bf16
        float factors[kHeads];                             // of the sums so far
    };
    // A warp's share of the queries, as fragments.
    using Queries = uint32_t[kSteps][kHeadTiles][4];
    using Sums = float[kHeadTiles][kColumns / 8][4];
};

// What a block works on.
struct DecodeWork {
    int row;
    int split;
    int first_head;
    int first;  // position
    int end;
    const int32_t* page_table;
};

template <typename Tile>
__device__ DecodeWork decode_work(const MlaDecode& args) {
    DecodeWork work;
    work.first_head = static_cast<int>(blockIdx.x) * Tile::kHeads;
    work.split = static_cast<int>(blockIdx.y);
    work.row = static_cast<int>(blockIdx.z);
    const DecodeRow row = args.rows[work.row];
    const int tokens = split_tokens(row.n_tokens);
    work.first = work.split * tokens;
    work.end = work.first + tokens < row.n_tokens ? work.first + tokens : row.n_tokens;
    work.page_table = args.page_tables + row.page_table;
    return work;
}

// Starts copying the tile of positions [first, first + kTileTokens); what lies past `end` or past
// the latent's columns is zero. Eight threads copy 128 neighbouring bytes of a token, so that their
// addresses differ by constants from one copy to the next.
template <typename Tile>
__device__ void copy_tile(const MlaDecode& args,
                          const DecodeWork& work,
                          int first,
                          bf16_t (*dst)[Tile::kStride]) {
    constexpr int kLanes = 8;
    constexpr int kRows = kDecodeThreads / kLanes;
    const int latent_dim = args.shapes.kv_lora_rank + args.shapes.qk_rope_head_dim;
    const int64_t slot = static_cast<int64_t>(work.page_table[first / kPageTokens]) * kPageTokens +
                         first % kPageTokens;
    const int first_column = static_cast<int>(threadIdx.x) % kLanes * 8;
#pragma unroll
    for (int i = 0; i < kTileTokens / kRows; i++) {
        const int token = i * kRows + static_cast<int>(threadIdx.x) / kLanes;
        const bool is_token = first + token < work.end;
        const bf16_t* src = args.pages + (slot + (is_token ? token : 0)) * latent_dim;
#pragma unroll
        for (int j = 0; j < Tile::kDim; j += kLanes * 8) {
            const int column = first_column + j;
            const bool is_inside = is_token && column < latent_dim;
            simt::async_copy16(&dst[token][column], src + (is_inside ? column : 0), is_inside);
        }
    }
}

// The fragments of this warp's columns of the queries; zero outside.
template <typename Tile>
__device__ void load_queries(const MlaDecode& args,
                             const DecodeWork& work,
                             typename Tile::Queries& queries) {
    const int latent_dim = args.shapes.kv_lora_rank + args.shapes.qk_rope_head_dim;
    const int lane = static_cast<int>(threadIdx.x % 32);
    const int first_column = static_cast<int>(threadIdx.x / 32) * Tile::kSteps * 16 + lane % 4 * 2;
    const bf16_t* src =
        args.queries + static_cast<int64_t>(work.row) * args.shapes.n_heads * latent_dim;
#pragma unroll
    for (int step = 0; step < Tile::kSteps; step++) {
#pragma unroll
        for (int m = 0; m < Tile::kHeadTiles; m++) {
#pragma unroll
            for (int i = 0; i < 4; i++) {
                const int head = work.first_head + m * 16 + i % 2 * 8 + lane / 4;
                const int column = first_column + step * 16 + i / 2 * 8;
                const bool is_inside = head < args.shapes.n_heads && column < latent_dim;
                queries[step][m][i] =
                    is_inside ? *reinterpret_cast<const uint32_t*>(src + head * latent_dim + column)
                              : 0u;
            }
        }
    }
}

}  // namespace
}  // namespace baltoro::gpu
