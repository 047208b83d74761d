#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <vector>

#include "engine/finish_reason.h"
#include "text/answer_parts.h"

namespace baltoro {

// A drawn token with its log-probability and the likeliest alternatives, most likely first.
struct TokenLogprob {
    std::int32_t id = 0;
    float logprob = 0.0f;
    std::vector<std::pair<std::int32_t, float>> top;
};

// What an answer cost.
struct AnswerUsage {
    int prompt_tokens = 0;
    int cached_tokens = 0;  // of the prompt, found in the prefix cache
    int completion_tokens = 0;
    int reasoning_tokens = 0;
    double queue_s = 0.0;
    double prefill_s = 0.0;
    double decode_s = 0.0;
};

// What happened since the consumer last looked.
struct AnswerEvents {
    int prefilled_tokens = 0;            // of the prompt so far, cached ones included
    std::vector<AnswerPart> parts;       // new parts
    std::vector<TokenLogprob> logprobs;  // of the tokens behind `parts`, if asked for
    // More of the prompt's tokens, from its first one, if asked for; all come before `logprobs`.
    // The first token has no log-probability: it is NaN.
    std::vector<TokenLogprob> prompt_logprobs;
    bool is_finished = false;  // the rest is set then
    FinishReason reason = FinishReason::stop;
    std::string stop_text;  // the stop text that was met, if one was
    std::string error;      // not empty: the engine failed; `parts` is incomplete
    AnswerUsage usage;
};

// The way of one answer from the engine thread to one consumer, shared by both (hence shared_ptr).
// Bounded: a consumer that leaves more than `max_pending_bytes` behind is cancelled.
class AnswerStream {
  public:
    static constexpr std::size_t kMaxPendingBytes = std::size_t{4} << 20;

    // Consumer, before submit(): called on the engine thread when events wait after none did, with
    // the stream locked, so it must not call the stream.
    void set_notify(std::function<void()> notify) { notify_ = std::move(notify); }

    // Consumer: cancels, and lets go of what `notify` holds; it is not called any more. The engine
    // may keep the stream longer than what the consumer lives in.
    void abandon() noexcept;

    // Consumer: takes everything that waits.
    AnswerEvents take();

    // Any thread: the answer is not wanted any more; its slot is free after the current step.
    void cancel() noexcept { cancelled_.store(true, std::memory_order_relaxed); }
    bool is_cancelled() const noexcept { return cancelled_.load(std::memory_order_relaxed); }

    // Engine thread. Moves parts and logprobs out of `events` and merges the rest.
    void put(AnswerEvents&& events);

  private:
    std::atomic<bool> cancelled_{false};
    std::mutex mutex_;  // guards what follows
    std::function<void()> notify_;
    AnswerEvents waiting_;
    std::size_t pending_bytes_ = 0;
    bool has_events_ = false;
};

}  // namespace baltoro
