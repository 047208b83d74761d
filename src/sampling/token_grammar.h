#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "sampling/grammar.h"
#include "sampling/grammar_automaton.h"
#include "sampling/token_mask.h"
#include "sampling/token_trie.h"

namespace baltoro {

// A JSON schema over the tokens of a vocabulary. Immutable; any thread. Requests of the server's
// threads and the engine's answers share it.
class TokenGrammar {
  public:
    TokenGrammar(Grammar grammar, std::shared_ptr<const TokenTrie> vocabulary)
        : grammar_(std::move(grammar)), vocabulary_(std::move(vocabulary)) {}

    const Grammar& grammar() const noexcept { return grammar_; }
    const TokenTrie& vocabulary() const noexcept { return *vocabulary_; }

  private:
    Grammar grammar_;
    std::shared_ptr<const TokenTrie> vocabulary_;  // one per tokenizer, of every grammar
};

// The grammar of answers that satisfy a schema (see json_schema.h for what is enforced). Any
// thread. Fails, naming the reason, if the schema cannot be compiled, or if the vocabulary lacks a
// token for some byte, without which an answer could come to a point where no token fits.
Result<std::shared_ptr<const TokenGrammar>> compile_schema(
    std::string_view schema_text, const std::shared_ptr<const TokenTrie>& vocabulary);

// How far one answer has come in its grammar. Engine thread. Allocates at construction only (1 to
// 4 MB). A fill takes 1.5 ms where most of 151,643 tokens are allowed, and microseconds where few
// are or the place was seen lately (EPYC, Zen 5; token_grammar_bench).
class GrammarState {
  public:
    explicit GrammarState(std::shared_ptr<const TokenGrammar> grammar);
    GrammarState(const GrammarState&) = delete;
    GrammarState& operator=(const GrammarState&) = delete;

    // Back to the beginning of an answer.
    void restart() noexcept;

    // Sets the mask to the tokens that may come next: those after which the answer can still be
    // completed, and the stop ids if it is complete. At least one, up to 16,000 nested objects and
    // arrays. Precondition: the mask has the vocabulary's size.
    void fill(TokenMask& allowed) noexcept;

    // Takes a token of the answer. False, and nothing changes, if it is not one that `fill` allows.
    // Precondition: it is in the vocabulary.
    bool accept(std::int32_t id) noexcept;

    // Whether what was accepted is a whole value. More may follow, such as a number's next digit.
    bool is_complete() const noexcept { return automaton_.is_complete(place_); }

  private:
    // A mask of a place that was filled lately. While a string is written the place stays the same.
    struct KnownMask {
        GrammarAutomaton::Place place = GrammarAutomaton::kNowhere;
        std::vector<std::uint64_t> words;
    };
    static constexpr std::size_t kKnownMasks = 8;

    void make_room() noexcept;
    void walk(TokenMask& allowed) noexcept;

    std::shared_ptr<const TokenGrammar> grammar_;
    GrammarAutomaton automaton_;
    GrammarAutomaton::Place place_ = GrammarAutomaton::kNowhere;
    bool is_stopped_ = false;                    // a stop id was accepted
    std::vector<GrammarAutomaton::Place> path_;  // of a walk, by depth
    std::array<KnownMask, kKnownMasks> known_;
    std::size_t next_known_ = 0;
};

}  // namespace baltoro
