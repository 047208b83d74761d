#include "device/wide_attention.h"

#include <algorithm>
#include <limits>

namespace baltoro::device {

void WideAttention::attend(const Attend& args,
                           const SequenceRows& sequence,
                           int first_query,
                           int n_queries,
                           const bf16_t* queries,
                           bf16_t* contexts) {
    // Made here, on the worker's own thread, for the shapes of the first call.
    if (products_ == nullptr)
        products_ = std::make_unique<PageProducts>(args.shapes, kernels_, operands_);
    products_->set_queries(queries);
    const int rank = args.shapes.kv_lora_rank;
    float* context = context_.get<float>(static_cast<std::size_t>(kQueries * rank));
    std::fill_n(context, kQueries * rank, 0.0f);
    max_.fill(-std::numeric_limits<float>::infinity());
    sum_.fill(0.0f);
    visible_.fill(0);
    for (int i = 0; i < n_queries; i++)
        visible_[static_cast<std::size_t>(i)] = sequence.first_position +
                                                (first_query + i) / args.shapes.n_heads -
                                                sequence.first_row + 1;

    const int n_tokens = visible_[static_cast<std::size_t>(n_queries - 1)];
    for (int before = 0; before < n_tokens; before += kPageTokens) {
        const std::ptrdiff_t page =
            sequence.page_table[static_cast<std::size_t>(before / kPageTokens)];
        attend_page(args, before, args.pages + page * kPageTokens * args.shapes.latent_dim());
    }
    for (int i = 0; i < n_queries; i++) {
        float* row = context + static_cast<std::ptrdiff_t>(i) * rank;
        kernels_.scale(1.0f / sum_[static_cast<std::size_t>(i)], row,
                       static_cast<std::size_t>(rank));
        kernels_.bf16_from_f32(row, contexts + static_cast<std::ptrdiff_t>(i) * rank,
                               static_cast<std::size_t>(rank));
    }
}

void WideAttention::attend_page(const Attend& args, int n_tokens_before, const bf16_t* page) {
    constexpr auto kScores = static_cast<std::size_t>(kQueries * kPageTokens);
    const auto rank = static_cast<std::size_t>(args.shapes.kv_lora_rank);
    float* scores = scores_.get<float>(kScores);
    products_->scores(page, scores);

    std::array<std::int32_t, kQueries> valid{};
    std::array<float, kQueries> correction{};
    for (std::size_t i = 0; i < valid.size(); i++)
        valid[i] = std::clamp(visible_[i] - n_tokens_before, 0, kPageTokens);
    kernels_.softmax_block({scores, kPageTokens, kQueries, kPageTokens, valid.data(), args.scale,
                            max_.data(), sum_.data(), correction.data()});
    for (std::size_t i = 0; i < correction.size(); i++)
        if (correction[i] != 1.0f)
            kernels_.scale(correction[i], context_.data<float>() + i * rank, rank);
    products_->add_context(scores, context_.data<float>());
}

}  // namespace baltoro::device
