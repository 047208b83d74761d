#include "engine/answer_text.h"

#include <utility>

namespace baltoro {

AnswerText::AnswerText(const Tokenizer& tokenizer, const Request& request)
    : tokenizer_(tokenizer),
      kind_(request.kind),
      one_call_only_(request.one_call_only),
      has_reasoning_(request.kind == AnswerKind::chat && request.format.has_reasoning),
      is_reasoning_(has_reasoning_ && request.format.starts_in_reasoning),
      parser_(request.format),
      stop_texts_(request.stop) {}

bool AnswerText::push(std::int32_t id, std::vector<AnswerPart>& parts) {
    // A model's vocabulary may be padded past the tokenizer's.
    if (id < 0 || id >= tokenizer_.vocab_size()) return false;
    if (is_reasoning_) n_reasoning_tokens_++;
    if (tokenizer_.is_special(id)) {
        push_text(utf8_.finish());
        const Marker marker = marker_of(tokenizer_, id).value_or(Marker::other);
        note_marker(marker);
        if (kind_ == AnswerKind::chat) parser_.push_marker(marker, parsed_);
    } else {
        push_text(utf8_.push(tokenizer_.token_bytes(id)));
    }
    pass_on(parts);
    return !stop_text().empty() || (one_call_only_ && parser_.n_complete_calls() > 0);
}

void AnswerText::finish(std::vector<AnswerPart>& parts) {
    push_text(utf8_.finish());
    if (kind_ == AnswerKind::chat) parser_.finish(parsed_);
    pass_on(parts);
    flush_content(parts);
}

void AnswerText::note_marker(Marker marker) noexcept {
    switch (marker) {
        case Marker::think_begin:
            is_reasoning_ = has_reasoning_ && !is_in_call_;
            return;
        case Marker::call_begin:
            is_in_call_ = true;
            is_reasoning_ = false;
            return;
        case Marker::call_end:
            is_in_call_ = false;
            return;
        case Marker::think_end:
        case Marker::section_begin:
            is_reasoning_ = false;
            return;
        default:
            return;
    }
}

void AnswerText::push_text(std::string_view text) {
    if (text.empty()) return;
    if (kind_ == AnswerKind::chat)
        parser_.push_text(text, parsed_);
    else
        parsed_.push_back({AnswerPart::Kind::content, std::string(text)});
}

// After a stop text nothing follows, whatever the parser still gives out.
void AnswerText::pass_on(std::vector<AnswerPart>& parts) {
    for (AnswerPart& part : parsed_) {
        if (!stop_text().empty()) break;
        if (part.kind == AnswerPart::Kind::content) {
            part.text = stop_texts_.push(part.text);
            if (part.text.empty()) continue;
        } else {
            flush_content(parts);
        }
        parts.push_back(std::move(part));
    }
    parsed_.clear();
}

void AnswerText::flush_content(std::vector<AnswerPart>& parts) {
    std::string text = stop_texts_.flush();
    if (!text.empty()) parts.push_back({AnswerPart::Kind::content, std::move(text)});
}

}  // namespace baltoro
