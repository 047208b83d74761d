#pragma once

#include <array>
#include <cstdint>
#include <memory>

#include "cpu_kernels/kernels.h"
#include "device/cpu_scratch.h"
#include "device/device.h"
#include "device/page_products.h"

namespace baltoro::device {

// Attention of many consecutive queries of one sequence, page by page with an online softmax
// (Milakov and Gimelshein 2018, arXiv 1805.02867): the products go through oneDNN, with operands of
// the level. For prefill; one object per worker thread.
class WideAttention {
  public:
    static constexpr int kQueries = PageProducts::kQueries;

    WideAttention(const kernels::Table& kernels, PageProducts::Operands operands)
        : kernels_(kernels), operands_(operands) {}

    // Queries [first_query, first_query + n_queries) of the batch, n_queries <= kQueries, all of
    // `sequence`; query q is (row q / n_heads, head q % n_heads).
    //   queries   bf16 [kQueries, latent_dim], absorbed and rotated; rows past n_queries are read
    //   contexts  bf16 [n_queries, kv_lora_rank]
    void attend(const Attend& args,
                const SequenceRows& sequence,
                int first_query,
                int n_queries,
                const bf16_t* queries,
                bf16_t* contexts);

  private:
    void attend_page(const Attend& args, int n_tokens_before, const bf16_t* page);

    const kernels::Table& kernels_;
    PageProducts::Operands operands_;
    std::unique_ptr<PageProducts> products_;
    Scratch context_;                               // f32 [kQueries, kv_lora_rank]
    Scratch scores_;                                // f32 [kQueries, kPageTokens]
    std::array<std::int32_t, kQueries> visible_{};  // tokens each query may see
    std::array<float, kQueries> max_{};
    std::array<float, kQueries> sum_{};
};

}  // namespace baltoro::device
