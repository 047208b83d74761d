#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "sampling/grammar.h"

namespace baltoro {

// The parts of JSON text that every schema is made of, as grammar. Between two values there is at
// most one space, after ',' and after ':', so that both compact and Python's spacing are accepted
// and a model cannot write white space forever. For the same reason the digits of numbers are
// bounded (20 before and after the point, 2 of an exponent), which also keeps them in the range of
// a double.
class JsonRules {
  public:
    explicit JsonRules(GrammarBuilder& builder) : builder_(builder) {}

    // Starts of rules, made when first asked for.
    GrammarStateId string();
    GrammarStateId character();  // one code point in a string, escaped or not
    GrammarStateId number();
    GrammarStateId integer();

    // The state that follows `separator` and one space or none.
    GrammarStateId add_separator(GrammarStateId from, char separator);

    // `texts` are compact JSON; separators within may have their space. What they begin with in
    // common is one path, so that a thousand of them are not a thousand places to be at once.
    void add_literals(GrammarStateId from, std::span<const std::string> texts, GrammarStateId to);

    // A quoted key other than `keys`, which are compact JSON strings. Where it could still become
    // one of them it is spelt without escapes, so that none comes in by another spelling.
    void add_other_key(GrammarStateId from, std::vector<std::string> keys, GrammarStateId to);

  private:
    // Where in the bytes of a code point.
    enum class In : std::uint8_t {
        text,  // between two
        one_more,
        two_more,
        three_more,
        after_e0,
        after_ed,
        after_f0,
        after_f4,
    };
    static constexpr std::size_t kIns = 8;
    struct ByteRange {
        In in;
        int lowest;
        int highest;
        In next;
    };
    static const std::array<ByteRange, 18> kUtf8;

    // States for a code point from states[text] to `to`.
    struct Character {
        std::array<GrammarStateId, kIns> states;
        GrammarStateId to;

        GrammarStateId after(In next) const {
            return next == In::text ? to : states[static_cast<std::size_t>(next)];
        }
    };
    // A place within some of the keys that others are told apart from: those with `depth` bytes in
    // common.
    struct KeyNode {
        GrammarStateId state;
        In in;
        int escape;  // 0: none; -1: after its '\'; else the hexadecimal digits that it lacks
        std::size_t depth;
        std::span<const std::string> keys;
    };

    Character add_character(GrammarStateId from, GrammarStateId to);
    // Returns the state after the '\'.
    GrammarStateId add_escapes(GrammarStateId from, GrammarStateId to);
    GrammarStateId add_byte(GrammarStateId from, int byte);
    void add_hex_digit(GrammarStateId from, GrammarStateId to);
    void add_digits(GrammarStateId from, int n_most, GrammarStateId to);
    void add_integer(GrammarStateId from, GrammarStateId to);
    void add_other_bytes(const KeyNode& node, const Character& other);
    void add_children(const KeyNode& node, std::vector<KeyNode>& nodes);

    GrammarBuilder& builder_;
    std::optional<GrammarStateId> string_;
    std::optional<GrammarStateId> character_;
    std::optional<GrammarStateId> number_;
    std::optional<GrammarStateId> integer_;
};

}  // namespace baltoro
