#include "engine/engine_loop.h"

#include <algorithm>
#include <exception>
#include <limits>
#include <numeric>
#include <utility>

namespace baltoro {

EngineLoop::EngineLoop(Model& model, const EngineOptions& options, int context_size)
    : model_(model),
      context_size_(context_size),
      stop_ids_(model.config().eos_token_ids.begin(), model.config().eos_token_ids.end()),
      scheduler_(model.limits().n_pages,
                 {options.n_parallel, model.limits().max_rows, context_size}) {
    const auto max_rows = static_cast<std::size_t>(model.limits().max_rows);
    tokens_.reserve(max_rows);
    rows_.reserve(max_rows);
    logit_rows_.reserve(max_rows);
    batched_.reserve(max_rows);
    for (int i = 0; i < options.n_parallel; i++)
        free_drawers_.push_back(
            std::make_unique<TokenDrawer>(model.config().vocab_size, stop_ids_));
    update_gauges();
}

void EngineLoop::add(std::unique_ptr<Answer> answer) {
    if (free_idxs_.empty()) {
        free_idxs_.push_back(static_cast<int>(answers_.size()));
        answers_.emplace_back();
    }
    answer->sequence.answer_idx = free_idxs_.back();
    free_idxs_.pop_back();
    Answer& added = *answer;
    answers_[static_cast<std::size_t>(added.sequence.answer_idx)] = std::move(answer);
    scheduler_.submit(added.sequence);
}

void EngineLoop::step() {
    drop_cancelled();
    if (!scheduler_.is_idle()) {
        const StepPlan& plan = scheduler_.plan_step();
        for (Sequence* sequence : plan.admitted)
            begin(of(*sequence));
        for (Sequence* sequence : plan.full)
            finish(of(*sequence), FinishReason::context_full);
        decode(plan.decoding);
        if (plan.prefilling != nullptr) prefill(plan);
        metrics_.steps_total++;
        if (std::exchange(has_ended_, false)) model_.move_hot_experts();
    }
    update_gauges();
}

void EngineLoop::drop_cancelled() {
    for (const auto& answer : answers_)
        if (answer != nullptr && !answer->is_finished && answer->stream->is_cancelled())
            finish(*answer, FinishReason::cancelled);
}

void EngineLoop::begin(Answer& answer) {
    answer.admitted_at = EngineClock::now();
    metrics_.queue_time.add(seconds_between(answer.submitted_at, answer.admitted_at));
    // An admitted answer keeps its drawer while it is preempted; since it then waits at the head of
    // the queue, at most n_parallel answers have one.
    answer.drawer = std::move(free_drawers_.back());
    free_drawers_.pop_back();
    try {
        answer.drawer->start(answer.request, answer.sequence.tokens);
        if (!answer.request.scores_prompt) return;
        constexpr float kNone = std::numeric_limits<float>::quiet_NaN();
        answer.events.prompt_logprobs.push_back({answer.sequence.tokens[0], kNone, {}});
        answer.has_events = true;
    } catch (const std::exception& error) {
        fail(answer, error.what());
    }
}

void EngineLoop::decode(std::span<Sequence* const> sequences) {
    tokens_.clear();
    rows_.clear();
    logit_rows_.clear();
    batched_.clear();
    for (Sequence* sequence : sequences) {
        if (of(*sequence).is_finished) continue;
        const auto row = static_cast<std::int32_t>(tokens_.size());
        const int position = sequence->n_computed;
        tokens_.push_back(sequence->tokens[static_cast<std::size_t>(position)]);
        rows_.push_back({row, 1, position, sequence->pages});
        // After a preemption the answer so far is decoded again, without drawing.
        if (position + 1 == sequence->n_tokens()) logit_rows_.push_back(row);
        batched_.push_back(sequence);
    }
    if (batched_.empty()) return;
    const EngineClock::time_point begin = EngineClock::now();
    if (!run_model(StepKind::decode)) return;
    const auto vocab_size = static_cast<std::size_t>(model_.config().vocab_size);
    std::size_t logits_at = 0;
    for (Sequence* sequence : batched_) {
        scheduler_.advance(*sequence, sequence->n_computed + 1);
        if (sequence->n_computed < sequence->n_tokens()) continue;
        take_logits(of(*sequence), logits_.subspan(logits_at, vocab_size));
        logits_at += vocab_size;
    }
    note_decoding(static_cast<int>(logit_rows_.size()), seconds_between(begin, EngineClock::now()));
}

void EngineLoop::prefill(const StepPlan& plan) {
    Sequence& sequence = *plan.prefilling;
    const int end = plan.prefill_end;
    Answer& answer = of(sequence);
    if (answer.is_finished) return;
    const int first = sequence.n_computed;
    const int n_rows = end - first;
    // Each gives the log-probability of the token after it.
    const int first_scored = std::min(std::max(first, sequence.first_wanted_row), end);
    const int n_scored = std::max(0, std::min(end, sequence.n_prompt - 1) - first_scored);
    // The answer of a preempted sequence goes on behind the prompt.
    const bool draws = end == sequence.n_tokens() && !answer.request.prompt_only;
    const auto tokens = std::span(sequence.tokens).subspan(static_cast<std::size_t>(first));
    tokens_.assign(tokens.begin(), tokens.begin() + n_rows);
    rows_.assign(1, {0, n_rows, first, sequence.pages});
    logit_rows_.resize(static_cast<std::size_t>(n_scored));
    std::iota(logit_rows_.begin(), logit_rows_.end(), first_scored - first);
    if (draws) logit_rows_.push_back(n_rows - 1);
    batched_.assign(1, &sequence);
    const EngineClock::time_point begin = EngineClock::now();
    if (!run_model(plan.prefill_kind)) return;
    scheduler_.advance(sequence, end);
    answer.prefill_forward_s += seconds_between(begin, EngineClock::now());
    answer.prefill_forward_tokens += n_rows;
    answer.events.prefilled_tokens = std::max(answer.events.prefilled_tokens, end);
    answer.has_events = true;
    use_prompt_logits(answer, first_scored, draws);
    if (!answer.request.prompt_only || end < sequence.n_prompt || answer.is_finished) return;
    note_prompt(answer);
    finish(answer, FinishReason::length);
}

// Those of rows from `first_scored` on; `draws`: the last one's are for the answer's first token.
void EngineLoop::use_prompt_logits(Answer& answer, int first_scored, bool draws) {
    const auto vocab_size = static_cast<std::size_t>(model_.config().vocab_size);
    const std::size_t n_scores = logits_.size() - (draws ? vocab_size : 0);
    if (n_scores > 0) score_prompt(answer, first_scored, logits_.first(n_scores));
    if (draws && !answer.is_finished) take_logits(answer, logits_.last(vocab_size));
}

// `logits` are those of rows from `first_row` on.
void EngineLoop::score_prompt(Answer& answer, int first_row, std::span<const float> logits) {
    const auto vocab_size = static_cast<std::size_t>(model_.config().vocab_size);
    Sequence& sequence = answer.sequence;
    auto next = static_cast<std::size_t>(first_row);
    try {
        for (; !logits.empty(); logits = logits.subspan(vocab_size))
            answer.events.prompt_logprobs.push_back(answer.drawer->score(
                logits.first(vocab_size), sequence.tokens[++next], answer.request.n_top_logprobs));
    } catch (const std::exception& error) {
        return fail(answer, error.what());
    }
    const int n_done = static_cast<int>(next);
    sequence.first_wanted_row =
        n_done < sequence.n_prompt - 1 ? n_done : std::numeric_limits<int>::max();
}

// The batch that is prepared; false if it failed, in which case its answers have ended.
bool EngineLoop::run_model(StepKind kind) {
    try {
        logits_ = model_.forward({tokens_, rows_, logit_rows_, kind});
        metrics_.expert_bytes_read_total = model_.expert_bytes_read();
        return true;
    } catch (const std::exception& error) {
        failure_ = error.what();
    }
    for (Sequence* sequence : batched_)
        fail(of(*sequence), failure_);
    return false;
}

void EngineLoop::take_logits(Answer& answer, std::span<const float> logits) {
    try {
        continue_answer(answer, logits);
    } catch (const std::exception& error) {
        fail(answer, error.what());
    }
}

void EngineLoop::continue_answer(Answer& answer, std::span<const float> logits) {
    const Request& request = answer.request;
    Sequence& sequence = answer.sequence;
    const int n_before = answer.usage.completion_tokens;
    // A grammar leaves no token but the stop when the answer is complete.
    const bool may_stop =
        request.grammar != nullptr || (!request.ignore_eos && n_before >= request.min_tokens);
    const bool is_forced = answer.takes_forced();
    const TokenPlace place{answer.text.is_content(), answer.text.open_tool()};
    const std::int32_t id = is_forced ? request.forced[static_cast<std::size_t>(n_before)]
                                      : answer.drawer->draw(logits, may_stop, place);
    note_token(answer);
    const bool is_stop =
        may_stop && std::find(stop_ids_.begin(), stop_ids_.end(), id) != stop_ids_.end();
    // A stop is no part of the answer. Who asks for the prompt's figures has it all the same:
    // lm-evaluation-harness asks for one token and takes the last figure for that token's.
    if (request.n_top_logprobs >= 0 && !is_forced && (!is_stop || request.scores_prompt))
        answer.events.logprobs.push_back(answer.drawer->logprob_of(id, request.n_top_logprobs));
    if (is_stop) return finish(answer, FinishReason::stop);

    answer.drawer->accept(id);
    answer.usage.completion_tokens++;
    metrics_.generation_tokens_total++;
    answer.has_events = true;
    if (answer.text.push(id, answer.events.parts)) return finish(answer, FinishReason::stop);
    if (answer.usage.completion_tokens == request.max_tokens)
        return finish(answer, FinishReason::length);
    if (sequence.n_tokens() >= context_size_) return finish(answer, FinishReason::context_full);
    sequence.tokens.push_back(id);
}

}  // namespace baltoro
