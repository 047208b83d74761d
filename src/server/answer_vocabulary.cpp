#include "server/answer_vocabulary.h"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string_view>

namespace baltoro::server {

const std::shared_ptr<const TokenTrie>& AnswerVocabulary::trie() {
    std::call_once(is_made_, [this] { trie_ = trie_with(stop_ids_); });
    return trie_;
}

const std::shared_ptr<const TokenTrie>& AnswerVocabulary::call_trie() {
    std::call_once(is_call_made_, [this] {
        const std::optional<std::int32_t> end = tokenizer_.special_id("<|tool_call_end|>");
        if (end && *end < vocab_size_) call_trie_ = trie_with({*end});
    });
    return call_trie_;
}

std::shared_ptr<const TokenTrie> AnswerVocabulary::trie_with(
    const std::vector<int>& stop_ids) const {
    // Special tokens stand for no text.
    std::vector<std::string_view> bytes(static_cast<std::size_t>(vocab_size_));
    const std::int32_t n = std::min(vocab_size_, tokenizer_.vocab_size());
    for (std::int32_t id = 0; id < n; id++)
        if (!tokenizer_.is_special(id))
            bytes[static_cast<std::size_t>(id)] = tokenizer_.token_bytes(id);
    return std::make_shared<const TokenTrie>(bytes, stop_ids);
}

}  // namespace baltoro::server
