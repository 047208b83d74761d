#pragma once

#include <chrono>
#include <cstdint>
#include <memory>

#include "engine/answer_stream.h"
#include "engine/answer_text.h"
#include "engine/request.h"
#include "engine/scheduler.h"
#include "engine/token_drawer.h"
#include "text/tokenizer.h"

namespace baltoro {

using EngineClock = std::chrono::steady_clock;

inline double seconds_between(EngineClock::time_point begin, EngineClock::time_point end) {
    return std::chrono::duration<double>(end - begin).count();
}

// One answer from submit() to its end. Made by the thread that submits, then the engine thread's.
struct Answer {
    // At most `context_size` tokens will follow each other.
    Answer(Request asked,
           std::shared_ptr<AnswerStream> to,
           const Tokenizer& tokenizer,
           int context_size);

    Request request;  // its prompt has moved to the sequence
    std::shared_ptr<AnswerStream> stream;
    Sequence sequence;
    AnswerText text;
    std::unique_ptr<TokenDrawer> drawer;  // from the first admission to the end

    AnswerEvents events;  // not yet sent
    bool has_events = false;
    bool is_finished = false;
    AnswerUsage usage;
    double prefill_forward_s = 0.0;
    int prefill_forward_tokens = 0;

    EngineClock::time_point submitted_at = EngineClock::now();
    EngineClock::time_point admitted_at{};
    EngineClock::time_point first_token_at{};
    EngineClock::time_point last_token_at{};

    bool has_token() const noexcept { return first_token_at != EngineClock::time_point{}; }
    bool takes_forced() const noexcept {
        return usage.completion_tokens < static_cast<int>(request.forced.size());
    }

    // The times of `usage`, for an answer that ends at `now`.
    void note_times(EngineClock::time_point now);

    // Hands what happened to the consumer.
    void send();
};

}  // namespace baltoro
