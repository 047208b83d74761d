#include "engine/token_drawer.h"

namespace baltoro {

TokenDrawer::TokenDrawer(int vocab_size, std::span<const std::int32_t> stop_ids)
    : stop_ids_(stop_ids.begin(), stop_ids.end()),
      sampler_({}, vocab_size),
      mask_(static_cast<std::size_t>(vocab_size)) {}

void TokenDrawer::start(const Request& request, std::span<const std::int32_t> prompt) {
    grammar_ =
        request.grammar != nullptr ? std::make_unique<GrammarState>(request.grammar) : nullptr;
    banned_ids_ = request.banned_ids;
    sampler_.reset(request.sampling);
    sampler_.note_prompt(prompt);
}

std::int32_t TokenDrawer::draw(std::span<const float> logits, bool may_stop, bool is_content) {
    const bool has_grammar = grammar_ != nullptr && is_content;
    if (may_stop && banned_ids_.empty() && !has_grammar) return sampler_.draw(logits);
    if (has_grammar)
        grammar_->fill(mask_);
    else
        mask_.allow_all();
    mask_.ban(banned_ids_);
    if (!may_stop) mask_.ban(stop_ids_);
    return sampler_.draw(logits, &mask_);
}

void TokenDrawer::accept(std::int32_t id, bool is_content) noexcept {
    sampler_.accept(id);
    if (grammar_ != nullptr && is_content) grammar_->accept(id);
}

TokenLogprob TokenDrawer::logprob_of(std::int32_t id, int n_top) {
    TokenLogprob logprob{id, sampler_.logprob_of(id), {}};
    const auto top = sampler_.top_logprobs(static_cast<std::size_t>(n_top));
    logprob.top.assign(top.begin(), top.end());
    return logprob;
}

}  // namespace baltoro
