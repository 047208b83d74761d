#include "engine/answer_stream.h"

#include <iterator>
#include <utility>

namespace baltoro {
namespace {

std::size_t size_of(const AnswerEvents& events) {
    std::size_t size_bytes = 0;
    for (const AnswerPart& part : events.parts)
        size_bytes += sizeof(part) + part.text.size() + part.name.size();
    for (const TokenLogprob& logprob : events.logprobs)
        size_bytes += sizeof(logprob) + logprob.top.size() * sizeof(logprob.top[0]);
    return size_bytes;
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
        std::move(events.logprobs.begin(), events.logprobs.end(),
                  std::back_inserter(waiting_.logprobs));
    }
    events.parts.clear();
    events.logprobs.clear();
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
