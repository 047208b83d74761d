#pragma once

#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "sampling/token_trie.h"
#include "text/tokenizer.h"

namespace baltoro::server {

// The vocabulary as grammars see it. Made when the first request with a schema comes, since it
// takes about 0.2 s that a server without such requests need not spend at start. Any thread.
class AnswerVocabulary {
  public:
    // The tokenizer must outlive this object. `vocab_size` is the model's, which may be padded.
    AnswerVocabulary(const Tokenizer& tokenizer, int vocab_size, std::vector<int> stop_ids)
        : tokenizer_(tokenizer), vocab_size_(vocab_size), stop_ids_(std::move(stop_ids)) {}

    const std::shared_ptr<const TokenTrie>& trie();

    // The same for arguments of tool calls, where the end of the call is what stops. Null if the
    // tokenizer has no such marker.
    const std::shared_ptr<const TokenTrie>& call_trie();

  private:
    std::shared_ptr<const TokenTrie> trie_with(const std::vector<int>& stop_ids) const;

    const Tokenizer& tokenizer_;
    int vocab_size_;
    std::vector<int> stop_ids_;
    std::once_flag is_made_;
    std::shared_ptr<const TokenTrie> trie_;
    std::once_flag is_call_made_;
    std::shared_ptr<const TokenTrie> call_trie_;
};

}  // namespace baltoro::server
