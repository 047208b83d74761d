#include "engine/session.h"

#include <algorithm>
#include <numeric>

#include <fmt/format.h>

#include "base/error.h"
#include "engine/prompt_steps.h"

namespace baltoro {

Session::Session(Model& model, int context_size)
    : model_(model),
      context_size_(context_size > 0 ? context_size : model.limits().n_pages * device::kPageTokens),
      page_table_(static_cast<std::size_t>(model.limits().n_pages)) {
    std::iota(page_table_.begin(), page_table_.end(), 0);
    tokens_.reserve(static_cast<std::size_t>(context_size_));
}

void Session::check_ids(std::span<const std::int32_t> ids) const {
    if (ids.empty()) throw Error("the prompt has no tokens");
    for (const std::int32_t id : ids) {
        if (id < 0 || id >= model_.config().vocab_size)
            throw Error(fmt::format("token id {} is outside the vocabulary of {}", id,
                                    model_.config().vocab_size));
    }
    if (static_cast<int>(ids.size()) > context_size())
        throw Error(fmt::format("the prompt has {} tokens, the context holds {}; raise --ctx-size",
                                ids.size(), context_size()));
}

int Session::reusable(std::span<const std::int32_t> ids) const {
    const auto mismatch = std::mismatch(ids.begin(), ids.end(), tokens_.begin(), tokens_.end());
    // The last token is always computed, since its logits are wanted.
    const int common =
        std::min(static_cast<int>(mismatch.first - ids.begin()), static_cast<int>(ids.size()) - 1);
    const int n_wanted = n_prefill_tokens(static_cast<int>(ids.size()));
    if (n_wanted == n_prefill_tokens_) return common;
    return std::min({common, n_wanted, n_prefill_tokens_});
}

std::span<const float> Session::prefill(std::span<const std::int32_t> ids,
                                        const Progress& progress) {
    check_ids(ids);
    const int common = reusable(ids);
    tokens_.resize(static_cast<std::size_t>(common));
    n_prefill_tokens_ = std::min(n_prefill_tokens_, common);
    const int total = static_cast<int>(ids.size());
    const StepKind kind = prompt_kind(total);
    prefilled_ = total - common;
    std::span<const float> logits;
    for (int begin = common; begin < total;) {
        const int end = prompt_step_end(begin, total, model_.limits().max_rows);
        const auto n_rows = static_cast<std::size_t>(end - begin);
        logits =
            run(ids.subspan(static_cast<std::size_t>(begin), n_rows), begin, kind, end == total);
        if (kind == StepKind::prefill) n_prefill_tokens_ = end;
        begin = end;
        if (progress && !progress(begin - common, prefilled_))
            return end == total ? logits : std::span<const float>{};
    }
    return logits;
}

std::span<const float> Session::step(std::int32_t id) {
    if (static_cast<int>(tokens_.size()) >= context_size())
        throw Error(
            fmt::format("the context of {} tokens is full; raise --ctx-size", context_size()));
    return run({&id, 1}, static_cast<int>(tokens_.size()), StepKind::decode, true);
}

std::span<const float> Session::run(std::span<const std::int32_t> ids,
                                    int first_position,
                                    StepKind kind,
                                    bool wants_logits) {
    const int n_rows = static_cast<int>(ids.size());
    const device::SequenceRows rows{0, n_rows, first_position, page_table_};
    const std::int32_t last_row = n_rows - 1;
    const std::span<const std::int32_t> logit_rows{&last_row, wants_logits ? 1u : 0u};
    const std::span<const float> logits = model_.forward({ids, {&rows, 1}, logit_rows, kind});
    tokens_.insert(tokens_.end(), ids.begin(), ids.end());
    return logits;
}

}  // namespace baltoro
