#include "engine/answer.h"

#include <algorithm>
#include <utility>

namespace baltoro {

Answer::Answer(Request asked,
               std::shared_ptr<AnswerStream> to,
               const Tokenizer& tokenizer,
               int context_size)
    : request(std::move(asked)), stream(std::move(to)), text(tokenizer, request) {
    sequence.tokens = std::move(request.prompt);
    sequence.n_prompt = sequence.n_tokens();
    if (request.scores_prompt) sequence.first_wanted_row = 0;
    const int room = context_size - sequence.n_prompt;
    const int n_most = request.max_tokens > 0 ? std::min(room, request.max_tokens) : room;
    sequence.tokens.reserve(static_cast<std::size_t>(sequence.n_prompt + std::max(n_most, 0)));
    usage.prompt_tokens = sequence.n_prompt;
}

void Answer::note_times(EngineClock::time_point now) {
    const EngineClock::time_point admitted = sequence.was_admitted ? admitted_at : now;
    const EngineClock::time_point first_token = has_token() ? first_token_at : now;
    usage.queue_s = seconds_between(submitted_at, admitted);
    usage.prefill_s = seconds_between(admitted, first_token);
    usage.decode_s = seconds_between(first_token, now);
}

void Answer::send() {
    const int prefilled_tokens = events.prefilled_tokens;
    stream->put(std::move(events));
    events = {};
    events.prefilled_tokens = prefilled_tokens;
    has_events = false;
}

}  // namespace baltoro
