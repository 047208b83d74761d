#include "engine/answer_stream.h"

#include <iterator>
#include <utility>

namespace baltoro {
namespace {

std::size_t size_of(const std::vector<TokenLogprob>& logprobs) {
    std::size_t size_bytes = 0;
    for (const TokenLogprob& logprob : logprobs)
        size_bytes += sizeof(logprob) + logprob.top.size() * sizeof(logprob.top[0]);
    return size_bytes;
}

void append(std::vector<TokenLogprob>&& more, std::vector<TokenLogprob>& logprobs) {
    std::move(more.begin(), more.end(), std::back_inserter(logprobs));
    more.clear();
}

std::size_t size_of(const AnswerEvents& events) {
    std::size_t size_bytes = 0;
    for (const AnswerPart& part : events.parts)
        size_bytes += sizeof(part) + part.text.size() + part.name.size();
    return size_bytes + size_of(events.logprobs) + size_of(events.prompt_logprobs);
}

// Text of one kind grows instead of becoming many parts: a slow consumer costs what the text does.
void append(AnswerPart&& part, std::vector<AnswerPart>& parts) {
    using Kind = AnswerPart::Kind;
    const bool is_text = part.kind == Kind::content || part.kind == Kind::reasoning ||
                         part.kind == Kind::call_arguments;
    if (is_text && !parts.empty() && parts.back().kind == part.kind &&
        parts.back().call_idx == part.call_idx)
        parts.back().text += part.text;
    else
        parts.push_back(std::move(part));
}

}  // namespace

AnswerEvents AnswerStream::take() {
    const std::lock_guard lock(mutex_);
    AnswerEvents events = std::move(waiting_);
    waiting_ = {};
    waiting_.prefilled_tokens = events.prefilled_tokens;
    pending_bytes_ = 0;
    has_events_ = false;
    return events;
}

void AnswerStream::abandon() noexcept {
    cancel();
    const std::lock_guard lock(mutex_);
    notify_ = nullptr;
}

void AnswerStream::put(AnswerEvents&& events) {
    const std::lock_guard lock(mutex_);
    pending_bytes_ += size_of(events);
    if (pending_bytes_ > kMaxPendingBytes) {
        cancel();
    } else {
        for (AnswerPart& part : events.parts)
            append(std::move(part), waiting_.parts);
        append(std::move(events.logprobs), waiting_.logprobs);
        append(std::move(events.prompt_logprobs), waiting_.prompt_logprobs);
    }
    events.parts.clear();
    events.logprobs.clear();
    events.prompt_logprobs.clear();
    waiting_.prefilled_tokens = events.prefilled_tokens;
    if (events.is_finished) {
        waiting_.is_finished = true;
        waiting_.reason = events.reason;
        waiting_.stop_text = std::move(events.stop_text);
        waiting_.error = std::move(events.error);
        waiting_.usage = events.usage;
    }
    if (!std::exchange(has_events_, true) && notify_) notify_();
}

}  // namespace baltoro
