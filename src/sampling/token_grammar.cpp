#include "sampling/token_grammar.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "sampling/json_schema.h"

namespace baltoro {

Result<std::shared_ptr<const TokenGrammar>> compile_schema(
    std::string_view schema_text, const std::shared_ptr<const TokenTrie>& vocabulary) {
    if (!vocabulary->has_all_text_bytes())
        return Failure{"the vocabulary does not have a token for every byte"};
    Result<Grammar> grammar = compile_json_schema(schema_text);
    if (!grammar) return Failure{"JSON schema: " + grammar.error()};
    return std::make_shared<const TokenGrammar>(std::move(grammar).value(), vocabulary);
}

GrammarState::GrammarState(std::shared_ptr<const TokenGrammar> grammar)
    : grammar_(std::move(grammar)),
      automaton_(grammar_->grammar()),
      path_(grammar_->vocabulary().longest() + 1) {
    for (KnownMask& known : known_)
        known.words.resize(TokenMask(grammar_->vocabulary().vocab_size()).words().size());
    restart();
}

void GrammarState::restart() noexcept {
    place_ = automaton_.restart();
    is_stopped_ = false;
    for (KnownMask& known : known_)
        known.place = GrammarAutomaton::kNowhere;
}

void GrammarState::make_room() noexcept {
    bool has_forgotten = false;
    place_ = automaton_.make_room(place_, has_forgotten);
    if (!has_forgotten) return;
    for (KnownMask& known : known_)
        known.place = GrammarAutomaton::kNowhere;
}

void GrammarState::fill(TokenMask& allowed) noexcept {
    check(allowed.vocab_size() == grammar_->vocabulary().vocab_size(),
          "the mask has a bit per token");
    const auto known = std::find_if(known_.begin(), known_.end(), [this](const KnownMask& mask) {
        return mask.place == place_ && place_ != GrammarAutomaton::kNowhere;
    });
    if (!is_stopped_ && known != known_.end()) {
        std::copy(known->words.begin(), known->words.end(), allowed.words().begin());
        return;
    }
    allowed.allow_none();
    if (is_complete())
        for (const std::int32_t id : grammar_->vocabulary().stop_ids())
            allowed.allow(id);
    if (is_stopped_) return;
    make_room();
    walk(allowed);
    KnownMask& kept = known_[next_known_];
    next_known_ = (next_known_ + 1) % kKnownMasks;
    kept.place = place_;
    std::copy(allowed.words().begin(), allowed.words().end(), kept.words.begin());
}

void GrammarState::walk(TokenMask& allowed) noexcept {
    const TokenTrie& trie = grammar_->vocabulary();
    const std::span<const TokenTrie::Node> nodes = trie.nodes();
    // Should the walk fill the automaton's memory, single bytes have their places before.
    for (std::size_t i = 0; i < nodes.size(); i = nodes[i].end)
        automaton_.step(place_, nodes[i].byte);
    path_[0] = place_;
    for (std::size_t i = 0; i < nodes.size();) {
        const TokenTrie::Node& node = nodes[i];
        const GrammarAutomaton::Place place = automaton_.step(path_[node.depth - 1u], node.byte);
        if (place == GrammarAutomaton::kNowhere) {
            i = node.end;
            continue;
        }
        path_[node.depth] = place;
        for (const std::int32_t id : trie.tokens_at(i))
            allowed.allow(id);
        ++i;
    }
}

bool GrammarState::accept(std::int32_t id) noexcept {
    const TokenTrie& trie = grammar_->vocabulary();
    if (trie.is_stop(id)) {
        is_stopped_ = is_stopped_ || is_complete();
        return is_stopped_;
    }
    const std::string_view bytes = trie.bytes_of(id);
    if (bytes.empty() || is_stopped_) return false;
    make_room();
    GrammarAutomaton::Place place = place_;
    for (const char byte : bytes) {
        place = automaton_.step(place, static_cast<std::uint8_t>(byte));
        if (place == GrammarAutomaton::kNowhere) return false;
    }
    place_ = place;
    return true;
}

}  // namespace baltoro
