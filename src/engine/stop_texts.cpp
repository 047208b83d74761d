#include "engine/stop_texts.h"

#include <algorithm>
#include <utility>

namespace baltoro {

StopTexts::StopTexts(std::vector<std::string> texts) : texts_(std::move(texts)) {
    std::erase_if(texts_, [](const std::string& text) { return text.empty(); });
    std::stable_sort(texts_.begin(), texts_.end(), [](const std::string& a, const std::string& b) {
        return a.size() > b.size();
    });
}

std::string StopTexts::push(std::string_view text) {
    if (!met_.empty()) return {};
    if (texts_.empty()) return std::string(text);
    const std::size_t n_before = held_.size();
    held_.append(text);
    for (std::size_t end = n_before + 1; end <= held_.size(); end++) {
        const std::string* met = ending_at(end);
        if (met == nullptr) continue;
        met_ = *met;
        held_.resize(end - met->size());
        return std::exchange(held_, {});
    }
    const std::size_t n_out = held_.size() - n_held();
    std::string out = held_.substr(0, n_out);
    held_.erase(0, n_out);
    return out;
}

std::string StopTexts::flush() {
    return std::exchange(held_, {});
}

// The longest stop text that is complete after the first `end` bytes.
const std::string* StopTexts::ending_at(std::size_t end) const noexcept {
    const std::string_view before = std::string_view(held_).substr(0, end);
    for (const std::string& text : texts_)
        if (before.ends_with(text)) return &text;
    return nullptr;
}

// Bytes at the end that a stop text begins with.
std::size_t StopTexts::n_held() const noexcept {
    const std::size_t longest = std::min(held_.size(), texts_.front().size() - 1);
    for (std::size_t n = longest; n > 0; n--) {
        const std::string_view end = std::string_view(held_).substr(held_.size() - n);
        for (const std::string& text : texts_)
            if (std::string_view(text).starts_with(end)) return n;
    }
    return 0;
}

}  // namespace baltoro
