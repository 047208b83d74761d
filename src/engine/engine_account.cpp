// How answers end, and what is counted on the way.
#include <utility>

#include "engine/engine_loop.h"

namespace baltoro {

void EngineLoop::note_prompt(const Answer& answer) {
    metrics_.prompt_tokens_total += static_cast<std::uint64_t>(answer.sequence.n_prompt);
    metrics_.cached_prompt_tokens_total += static_cast<std::uint64_t>(answer.sequence.n_cached);
    if (answer.prefill_forward_s > 0.0)
        metrics_.prefill_tokens_per_second =
            answer.prefill_forward_tokens / answer.prefill_forward_s;
}

void EngineLoop::note_token(Answer& answer) {
    const EngineClock::time_point now = EngineClock::now();
    if (answer.has_token()) {
        metrics_.inter_token_latency.add(seconds_between(answer.last_token_at, now));
    } else {
        answer.first_token_at = now;
        answer.usage.cached_tokens = answer.sequence.n_cached;
        metrics_.time_to_first_token.add(seconds_between(answer.submitted_at, now));
        note_prompt(answer);
    }
    answer.last_token_at = now;
}

void EngineLoop::note_decoding(int n_tokens, double duration_s) noexcept {
    decoded_tokens_ += n_tokens;
    decoded_s_ += duration_s;
    const bool is_whole_second = decoded_s_ >= 1.0;
    if (decoded_s_ > 0.0 && (is_whole_second || !has_decode_figure_))
        metrics_.decode_tokens_per_second = decoded_tokens_ / decoded_s_;
    if (!is_whole_second) return;
    has_decode_figure_ = true;
    decoded_tokens_ = 0;
    decoded_s_ = 0.0;
}

void EngineLoop::finish(Answer& answer, FinishReason reason) {
    answer.text.finish(answer.events.parts);
    answer.events.stop_text = answer.text.stop_text();
    const double age_s = seconds_between(answer.submitted_at, EngineClock::now());
    if (reason == FinishReason::cancelled)
        metrics_.cancelled_total++;
    else
        metrics_.e2e_request_latency.add(age_s);
    end(answer, reason);
}

void EngineLoop::fail(Answer& answer, const std::string& message) {
    answer.events.error = message.empty() ? "the engine failed" : message;
    end(answer, FinishReason::cancelled);
}

// Slot and pages are free at once; the answer itself lives until its events are sent, because the
// step's plan may still name it.
void EngineLoop::end(Answer& answer, FinishReason reason) {
    answer.is_finished = true;
    has_ended_ = true;
    scheduler_.finish(answer.sequence);
    if (answer.drawer != nullptr) free_drawers_.push_back(std::move(answer.drawer));
    answer.note_times(EngineClock::now());
    answer.usage.cached_tokens = answer.sequence.n_cached;
    answer.usage.reasoning_tokens = answer.text.n_reasoning_tokens();
    answer.events.is_finished = true;
    answer.events.reason = reason;
    answer.events.usage = answer.usage;
    answer.has_events = true;
}

void EngineLoop::update_gauges() noexcept {
    const PrefixCache& cache = scheduler_.cache();
    metrics_.n_running = scheduler_.n_running();
    metrics_.n_waiting = scheduler_.n_waiting();
    metrics_.preemptions_total = scheduler_.n_preemptions();
    metrics_.n_pages = model_.limits().n_pages;
    metrics_.n_pages_used = cache.n_used();
    metrics_.n_pages_cached = cache.n_cached();
}

void EngineLoop::send_events() {
    for (auto& answer : answers_) {
        if (answer == nullptr || !answer->has_events) continue;
        answer->send();
        if (!answer->is_finished) continue;
        free_idxs_.push_back(answer->sequence.answer_idx);
        answer.reset();
    }
}

void EngineLoop::fail_all(const std::string& message) {
    for (const auto& answer : answers_)
        if (answer != nullptr && !answer->is_finished) fail(*answer, message);
    update_gauges();
    send_events();
}

}  // namespace baltoro
