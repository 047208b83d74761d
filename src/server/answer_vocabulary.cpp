#include "server/answer_vocabulary.h"

#include <algorithm>
#include <cstdint>
#include <string_view>

namespace baltoro::server {

const std::shared_ptr<const TokenTrie>& AnswerVocabulary::trie() {
    std::call_once(is_made_, [this] {
        // Special tokens stand for no text.
        std::vector<std::string_view> bytes(static_cast<std::size_t>(vocab_size_));
        const std::int32_t n = std::min(vocab_size_, tokenizer_.vocab_size());
        for (std::int32_t id = 0; id < n; id++)
            if (!tokenizer_.is_special(id))
                bytes[static_cast<std::size_t>(id)] = tokenizer_.token_bytes(id);
        trie_ = std::make_shared<const TokenTrie>(bytes, stop_ids_);
    });
    return trie_;
}

}  // namespace baltoro::server
