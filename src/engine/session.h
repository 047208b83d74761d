#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "model/model.h"

namespace baltoro {

// One sequence that owns all pages of a model's KV cache. Engine thread only.
class Session {
  public:
    // Called after every step of a prefill with the tokens done and the tokens in all; false stops.
    using Progress = std::function<bool(int done, int total)>;

    // At most `context_size` tokens, or as many as the model has pages for if 0. The model must
    // outlive the session.
    explicit Session(Model& model, int context_size = 0);

    // Makes the cache hold exactly `ids`, reusing the longest common prefix with what it holds, and
    // returns the logits after the last one (f32 [vocab_size], valid until the next step); empty if
    // `progress` stopped it. What is reused was computed as a cold run would compute it
    // (prompt_steps.h), so both give the same bits. Throws Error if ids are empty, out of range or
    // too many for the context.
    std::span<const float> prefill(std::span<const std::int32_t> ids,
                                   const Progress& progress = {});

    // Appends one token and returns the logits after it. Throws Error if the context is full.
    std::span<const float> step(std::int32_t id);

    // Tokens in the cache.
    std::span<const std::int32_t> tokens() const noexcept { return tokens_; }
    int context_size() const noexcept { return context_size_; }

    // Of the last prefill: tokens computed, the others having been in the cache.
    int prefilled() const noexcept { return prefilled_; }

    // Between answers: see Model::move_hot_experts().
    void end_answer() { model_.move_hot_experts(); }

  private:
    // Tokens of `ids` that the cache holds as a cold run would compute them.
    int reusable(std::span<const std::int32_t> ids) const;
    std::span<const float> run(std::span<const std::int32_t> ids,
                               int first_position,
                               StepKind kind,
                               bool wants_logits);
    void check_ids(std::span<const std::int32_t> ids) const;

    Model& model_;
    int context_size_;
    std::vector<std::int32_t> tokens_;
    std::vector<std::int32_t> page_table_;
    int prefilled_ = 0;
    int n_prefill_tokens_ = 0;  // of tokens_, the first ones, by steps of kind prefill
};

}  // namespace baltoro
