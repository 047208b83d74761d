#include "engine/token_drawer.h"

#include <algorithm>

namespace baltoro {

TokenDrawer::TokenDrawer(int vocab_size, std::span<const std::int32_t> stop_ids)
    : stop_ids_(stop_ids.begin(), stop_ids.end()),
      sampler_({}, vocab_size),
      mask_(static_cast<std::size_t>(vocab_size)) {}

void TokenDrawer::start(const Request& request, std::span<const std::int32_t> prompt) {
    content_ =
        request.grammar != nullptr ? std::make_unique<GrammarState>(request.grammar) : nullptr;
    strict_tools_ = request.strict_tools;
    called_ = nullptr;
    call_ = nullptr;
    grammar_ = nullptr;
    banned_ids_ = request.banned_ids;
    sampler_.reset(request.sampling);
    sampler_.note_prompt(prompt);
}

GrammarState* TokenDrawer::grammar_at(const TokenPlace& place) {
    if (place.is_content) return content_.get();
    if (place.tool.empty()) return nullptr;
    const auto tool =
        std::find_if(strict_tools_.begin(), strict_tools_.end(),
                     [&](const StrictTool& strict) { return strict.name == place.tool; });
    if (tool == strict_tools_.end()) return nullptr;
    if (&*tool != called_) {
        call_ = std::make_unique<GrammarState>(tool->arguments);
        called_ = &*tool;
    } else if (grammar_ != call_.get()) {
        call_->restart();  // another call: its markers and its id came in between
    }
    return call_.get();
}

std::int32_t TokenDrawer::draw(std::span<const float> logits,
                               bool may_stop,
                               const TokenPlace& place) {
    grammar_ = grammar_at(place);
    if (may_stop && banned_ids_.empty() && grammar_ == nullptr) return sampler_.draw(logits);
    if (grammar_ != nullptr)
        grammar_->fill(mask_);
    else
        mask_.allow_all();
    mask_.ban(banned_ids_);
    if (!may_stop) mask_.ban(stop_ids_);
    return sampler_.draw(logits, &mask_);
}

void TokenDrawer::accept(std::int32_t id) noexcept {
    sampler_.accept(id);
    if (grammar_ != nullptr) grammar_->accept(id);
}

TokenLogprob TokenDrawer::logprob_of(std::int32_t id, int n_top) {
    TokenLogprob logprob{id, sampler_.logprob_of(id), {}};
    const auto top = sampler_.top_logprobs(static_cast<std::size_t>(n_top));
    logprob.top.assign(top.begin(), top.end());
    return logprob;
}

TokenLogprob TokenDrawer::score(std::span<const float> logits, std::int32_t id, int n_top) {
    sampler_.look_at(logits);
    return logprob_of(id, n_top);
}

}  // namespace baltoro
