#include "sampling/json_rules.h"

#include <algorithm>
#include <map>
#include <string_view>
#include <utility>

namespace baltoro {
namespace {

constexpr int kMostDigits = 20;  // those of 2^64 - 1
constexpr int kMostExponentDigits = 2;

std::uint8_t byte_at(const std::string& text, std::size_t i) {
    return static_cast<std::uint8_t>(text[i]);
}

// Where `byte` of a key leads, in the terms of KeyNode::escape.
int escape_after(int escape, std::uint8_t byte) {
    if (escape == 0) return byte == '\\' ? -1 : 0;
    if (escape == -1) return byte == 'u' ? 4 : 0;
    return escape - 1;
}

}  // namespace

// The well-formed byte sequences of the Unicode standard, table 3-7, less control characters, '"'
// and '\'.
const std::array<JsonRules::ByteRange, 18> JsonRules::kUtf8 = {{
    {In::text, 0x20, 0x21, In::text},
    {In::text, 0x23, 0x5b, In::text},
    {In::text, 0x5d, 0x7f, In::text},
    {In::text, 0xc2, 0xdf, In::one_more},
    {In::text, 0xe0, 0xe0, In::after_e0},
    {In::text, 0xe1, 0xec, In::two_more},
    {In::text, 0xed, 0xed, In::after_ed},
    {In::text, 0xee, 0xef, In::two_more},
    {In::text, 0xf0, 0xf0, In::after_f0},
    {In::text, 0xf1, 0xf3, In::three_more},
    {In::text, 0xf4, 0xf4, In::after_f4},
    {In::one_more, 0x80, 0xbf, In::text},
    {In::two_more, 0x80, 0xbf, In::one_more},
    {In::three_more, 0x80, 0xbf, In::two_more},
    {In::after_e0, 0xa0, 0xbf, In::one_more},
    {In::after_ed, 0x80, 0x9f, In::one_more},
    {In::after_f0, 0x90, 0xbf, In::two_more},
    {In::after_f4, 0x80, 0x8f, In::two_more},
}};

GrammarStateId JsonRules::add_byte(GrammarStateId from, int byte) {
    const GrammarStateId to = builder_.add_state();
    builder_.add_byte(from, byte, to);
    return to;
}

JsonRules::Character JsonRules::add_character(GrammarStateId from, GrammarStateId to) {
    Character character{.states = {from}, .to = to};
    for (std::size_t i = 1; i < kIns; ++i)
        character.states[i] = builder_.add_state();
    for (const ByteRange& range : kUtf8)
        builder_.add_bytes(character.states[static_cast<std::size_t>(range.in)], range.lowest,
                           range.highest, character.after(range.next));
    return character;
}

void JsonRules::add_hex_digit(GrammarStateId from, GrammarStateId to) {
    builder_.add_bytes(from, '0', '9', to);
    builder_.add_bytes(from, 'a', 'f', to);
    builder_.add_bytes(from, 'A', 'F', to);
}

GrammarStateId JsonRules::add_escapes(GrammarStateId from, GrammarStateId to) {
    const GrammarStateId escape = add_byte(from, '\\');
    for (const char letter : {'"', '\\', '/', 'b', 'f', 'n', 'r', 't'})
        builder_.add_byte(escape, letter, to);
    const GrammarStateId u = add_byte(escape, 'u');
    std::array<GrammarStateId, 4> lacks{to};  // by number of digits
    for (std::size_t n = 1; n < lacks.size(); ++n) {
        lacks[n] = builder_.add_state();
        add_hex_digit(lacks[n], lacks[n - 1]);
    }
    builder_.add_bytes(u, '0', '9', lacks[3]);
    for (const int a : {'a', 'A'}) {
        builder_.add_bytes(u, a, a + 2, lacks[3]);      // a to c
        builder_.add_bytes(u, a + 4, a + 5, lacks[3]);  // e, f
    }
    // D800 to DBFF are followed by DC00 to DFFF, which do not occur alone.
    const GrammarStateId d = add_byte(u, 'd');
    builder_.add_byte(u, 'D', d);
    builder_.add_bytes(d, '0', '7', lacks[2]);
    const GrammarStateId high = builder_.add_state();
    builder_.add_bytes(d, '8', '9', high);
    const GrammarStateId one = builder_.add_state();
    const GrammarStateId none = builder_.add_state();
    add_hex_digit(high, one);
    add_hex_digit(one, none);
    const GrammarStateId second = add_byte(add_byte(none, '\\'), 'u');
    const GrammarStateId low = add_byte(second, 'd');
    builder_.add_byte(second, 'D', low);
    for (const int a : {'a', 'A'}) {
        builder_.add_bytes(d, a, a + 1, high);            // a, b
        builder_.add_bytes(low, a + 2, a + 5, lacks[2]);  // c to f
    }
    return escape;
}

GrammarStateId JsonRules::string() {
    if (string_) return *string_;
    string_ = builder_.add_state();
    const GrammarStateId text = add_byte(*string_, '"');
    add_character(text, text);
    add_escapes(text, text);
    builder_.mark_end(add_byte(text, '"'));
    return *string_;
}

GrammarStateId JsonRules::character() {
    if (character_) return *character_;
    character_ = builder_.add_state();
    const GrammarStateId end = builder_.add_state();
    builder_.mark_end(end);
    add_character(*character_, end);
    add_escapes(*character_, end);
    return *character_;
}

void JsonRules::add_digits(GrammarStateId from, int n_most, GrammarStateId to) {
    for (int i = 0; i < n_most; ++i) {
        const GrammarStateId next = builder_.add_state();
        builder_.add_bytes(from, '0', '9', next);
        builder_.add_epsilon(next, to);
        from = next;
    }
}

void JsonRules::add_integer(GrammarStateId from, GrammarStateId to) {
    const GrammarStateId digits = add_byte(from, '-');
    builder_.add_epsilon(from, digits);
    builder_.add_byte(digits, '0', to);
    const GrammarStateId first = builder_.add_state();
    builder_.add_bytes(digits, '1', '9', first);
    builder_.add_epsilon(first, to);
    add_digits(first, kMostDigits - 1, to);
}

GrammarStateId JsonRules::integer() {
    if (integer_) return *integer_;
    integer_ = builder_.add_state();
    const GrammarStateId end = builder_.add_state();
    builder_.mark_end(end);
    add_integer(*integer_, end);
    return *integer_;
}

GrammarStateId JsonRules::number() {
    if (number_) return *number_;
    number_ = builder_.add_state();
    const GrammarStateId whole = builder_.add_state();
    const GrammarStateId mantissa = builder_.add_state();
    const GrammarStateId end = builder_.add_state();
    add_integer(*number_, whole);
    builder_.add_epsilon(whole, mantissa);
    add_digits(add_byte(whole, '.'), kMostDigits, mantissa);
    builder_.add_epsilon(mantissa, end);
    const GrammarStateId exponent = add_byte(mantissa, 'e');
    builder_.add_byte(mantissa, 'E', exponent);
    const GrammarStateId digits = add_byte(exponent, '-');
    builder_.add_byte(exponent, '+', digits);
    builder_.add_epsilon(exponent, digits);
    add_digits(digits, kMostExponentDigits, end);
    builder_.mark_end(end);
    return *number_;
}

GrammarStateId JsonRules::add_separator(GrammarStateId from, char separator) {
    const GrammarStateId after = add_byte(from, separator);
    const GrammarStateId to = add_byte(after, ' ');
    builder_.add_epsilon(after, to);
    return to;
}

void JsonRules::add_literals(GrammarStateId from,
                             std::span<const std::string> texts,
                             GrammarStateId to) {
    std::map<std::pair<GrammarStateId, char>, GrammarStateId> paths;
    for (const std::string& text : texts) {
        GrammarStateId state = from;
        bool is_in_string = false;
        bool is_escaped = false;
        for (const char c : text) {
            const auto [path, is_added] = paths.try_emplace({state, c}, 0);
            if (is_added) {
                path->second = !is_in_string && (c == ',' || c == ':')
                                   ? add_separator(state, c)
                                   : add_byte(state, static_cast<std::uint8_t>(c));
            }
            state = path->second;
            if (c == '"' && !is_escaped) is_in_string = !is_in_string;
            is_escaped = c == '\\' && !is_escaped;
        }
        builder_.add_epsilon(state, to);
    }
}

void JsonRules::add_other_key(GrammarStateId from,
                              std::vector<std::string> keys,
                              GrammarStateId to) {
    for (std::string& key : keys)
        key = key.substr(1, key.size() - 2);
    std::sort(keys.begin(), keys.end());
    // Once it is another key, the rest is any text.
    const GrammarStateId rest = builder_.add_state();
    const Character other = add_character(rest, rest);
    const GrammarStateId escape = add_escapes(rest, rest);
    builder_.add_byte(rest, '"', to);
    std::vector<KeyNode> nodes{{add_byte(from, '"'), In::text, 0, 0, keys}};
    while (!nodes.empty() && !builder_.is_full()) {
        const KeyNode node = nodes.back();
        nodes.pop_back();
        // Keys are sorted, so one that ends here is the first.
        const bool is_key = !node.keys.empty() && node.keys.front().size() == node.depth;
        if (node.in == In::text && node.escape == 0 && !is_key)
            builder_.add_byte(node.state, '"', to);
        if (node.escape == 0) add_other_bytes(node, other);
        // The last in order is a longest of those that begin alike.
        const bool is_past_keys = node.keys.empty() || node.keys.back().size() == node.depth;
        if (is_past_keys && node.in == In::text) builder_.add_byte(node.state, '\\', escape);
        add_children(node, nodes);
    }
}

void JsonRules::add_other_bytes(const KeyNode& node, const Character& other) {
    std::array<bool, 256> is_of_key{};
    for (const std::string& key : node.keys)
        if (key.size() > node.depth) is_of_key[byte_at(key, node.depth)] = true;
    for (const ByteRange& range : kUtf8) {
        if (range.in != node.in) continue;
        int lowest = range.lowest;
        for (int byte = range.lowest; byte <= range.highest + 1; ++byte) {
            if (byte <= range.highest && !is_of_key[static_cast<std::size_t>(byte)]) continue;
            if (lowest < byte)
                builder_.add_bytes(node.state, lowest, byte - 1, other.after(range.next));
            lowest = byte + 1;
        }
    }
}

void JsonRules::add_children(const KeyNode& node, std::vector<KeyNode>& nodes) {
    const std::size_t depth = node.depth;
    auto begin = node.keys.begin();
    while (begin != node.keys.end() && begin->size() == depth)
        ++begin;
    while (begin != node.keys.end()) {
        const std::uint8_t byte = byte_at(*begin, depth);
        const auto end = std::find_if(begin, node.keys.end(), [&](const std::string& key) {
            return byte_at(key, depth) != byte;
        });
        In in = In::text;  // of an escape's bytes, too
        for (const ByteRange& range : kUtf8)
            if (node.escape == 0 && range.in == node.in && byte >= range.lowest &&
                byte <= range.highest)
                in = range.next;
        nodes.push_back({add_byte(node.state, byte), in, escape_after(node.escape, byte), depth + 1,
                         std::span(begin, end)});
        begin = end;
    }
}

}  // namespace baltoro
