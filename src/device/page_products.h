#pragma once

#include <memory>

#include "base/float_formats.h"
#include "device/device.h"

namespace baltoro::device {

// The two products of prefill attention between a block of queries and one page of the cache, by
// oneDNN (bf16 in, f32 out; AMX where the CPU has it and `may_use_amx`). One object per worker
// thread, made and used on that thread only, because it keeps oneDNN on it.
class PageProducts {
  public:
    // Queries (row, head pairs) of a block; callers pad their buffers to whole blocks.
    static constexpr int kQueries = 128;

    PageProducts(const MlaShapes& shapes, bool may_use_amx);
    ~PageProducts();

    // scores[q, t] = queries[q] . page[t]
    //   queries  bf16 [kQueries, latent_dim]     page  bf16 [kPageTokens, latent_dim]
    //   scores   f32 [kQueries, kPageTokens]
    void scores(const bf16_t* queries, const bf16_t* page, float* scores);

    // context[q, j] += sum_t probabilities[q, t] * page[t, j],  j < kv_lora_rank
    //   probabilities  bf16 [kQueries, kPageTokens]     context  f32 [kQueries, kv_lora_rank]
    void add_context(const bf16_t* probabilities, const bf16_t* page, float* context);

  private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace baltoro::device
