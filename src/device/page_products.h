#pragma once

#include <memory>

#include "base/float_formats.h"
#include "cpu_kernels/kernels.h"
#include "device/device.h"

namespace baltoro::device {

// The two products of prefill attention between a block of queries and the pages of the cache, by
// oneDNN. One object per worker thread, made and used on that thread only, because it keeps oneDNN
// on it.
class PageProducts {
  public:
    // Queries (row, head pairs) of a block; callers pad their buffers to whole blocks.
    static constexpr int kQueries = 128;

    // What is multiplied; sums are f32 in any case.
    enum class Operands {
        f32,       // widened from bf16; the CPU's widest vectors, whatever the kernels' level
        bf16,      // probabilities are rounded to it; VDPBF16PS
        bf16_amx,  // the same, in tiles if this is the first object of the process
    };

    PageProducts(const MlaShapes& shapes, const kernels::Table& kernels, Operands operands);
    ~PageProducts();

    // The queries of the products that follow: bf16 [kQueries, latent_dim], kept by the caller.
    void set_queries(const bf16_t* queries);

    // scores[q, t] = queries[q] . page[t]
    //   page  bf16 [kPageTokens, latent_dim]     scores  f32 [kQueries, kPageTokens]
    void scores(const bf16_t* page, float* scores);

    // context[q, j] += sum_t probabilities[q, t] * page[t, j],  j < kv_lora_rank, with the page of
    // the last scores().
    //   probabilities  f32 [kQueries, kPageTokens]     context  f32 [kQueries, kv_lora_rank]
    void add_context(const float* probabilities, float* context);

  private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace baltoro::device
