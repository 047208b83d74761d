#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/result.h"

namespace baltoro {

using GrammarStateId = std::uint32_t;

// What leads from one state to another: a byte of a range, nothing, or a text of another rule.
struct GrammarEdge {
    enum class Kind : std::uint8_t { bytes, epsilon, call };
    Kind kind = Kind::epsilon;
    std::uint8_t lowest = 0;  // of a byte range
    std::uint8_t highest = 0;
    GrammarStateId target = 0;
    GrammarStateId callee = 0;  // the called rule's start
};

// A context-free language over bytes as a recursive transition network: states and edges, where a
// call edge stands for all texts that lead from the called rule's start to one of its ends.
// Immutable; any thread. Every state can reach its rule's end, so no prefix is a dead end, and no
// rule comes back to its own start without a byte, so following edges ends.
struct Grammar {
    GrammarStateId start = 0;
    std::vector<GrammarEdge> edges;         // by state
    std::vector<std::uint32_t> first_edge;  // per state, and one more
    std::vector<std::uint8_t> is_end;       // per state: the rule may end here
    // Bytes that no edge tells apart are of one class.
    std::array<std::uint8_t, 256> class_of_byte{};
    std::vector<std::uint8_t> byte_of_class;  // one byte of each

    std::size_t n_states() const noexcept { return is_end.size(); }
    std::span<const GrammarEdge> edges_of(GrammarStateId state) const noexcept {
        return std::span(edges).subspan(first_edge[state],
                                        first_edge[state + 1] - first_edge[state]);
    }
};

// Puts a grammar together. Past kMaxStates states or edges it adds nothing more and `build` says
// so, which bounds what a hostile schema can take.
class GrammarBuilder {
  public:
    static constexpr std::size_t kMaxStates = 250'000;

    GrammarStateId add_state();
    void add_bytes(GrammarStateId from, int lowest, int highest, GrammarStateId to);
    void add_byte(GrammarStateId from, int byte, GrammarStateId to) {
        add_bytes(from, byte, byte, to);
    }
    void add_epsilon(GrammarStateId from, GrammarStateId to);
    // Precondition of rules: they match no empty text.
    void add_call(GrammarStateId from, GrammarStateId callee, GrammarStateId to);
    void mark_end(GrammarStateId state) { is_end_[state] = 1; }

    bool is_full() const noexcept { return is_full_; }

    // The language of the texts that lead from `start` to an end. Fails if the grammar is too
    // large, refers to itself without a byte in between, or holds no finite text.
    Result<Grammar> build(GrammarStateId start) const;

  private:
    struct PlacedEdge {
        GrammarStateId from;
        GrammarEdge edge;
    };

    void add(GrammarStateId from, const GrammarEdge& edge);
    // A grammar of all edges, in which states may be dead ends.
    Grammar arranged(std::span<const PlacedEdge> placed) const;

    std::vector<PlacedEdge> edges_;
    std::vector<std::uint8_t> is_end_;
    bool is_full_ = false;
};

}  // namespace baltoro
