#include "sampling/token_trie.h"

#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "base/error.h"

using namespace baltoro;

namespace {

TokenTrie trie_of(const std::vector<std::string_view>& tokens) {
    return TokenTrie(tokens, {});
}

}  // namespace

TEST_CASE("a walk meets every token once, after what it begins with") {
    const std::vector<std::string_view> tokens{"b", "", "abc", "a", "abd", "\xff", "a", "bcde"};
    const TokenTrie trie = trie_of(tokens);
    std::vector<std::string> met(tokens.size());
    std::string path;
    for (std::size_t i = 0; i < trie.nodes().size(); ++i) {
        const TokenTrie::Node& node = trie.nodes()[i];
        path.resize(node.depth - 1u);
        path += static_cast<char>(node.byte);
        for (const std::int32_t id : trie.tokens_at(i))
            met[static_cast<std::size_t>(id)] = path;
    }
    for (std::size_t id = 0; id < tokens.size(); ++id) {
        CAPTURE(id);
        CHECK(met[id] == tokens[id]);
    }
    CHECK(trie.nodes().size() == 9);  // a ab abc abd b bc bcd bcde \xff
    CHECK(trie.longest() == 4);
}

TEST_CASE("a node's end is past all that begins like it") {
    const TokenTrie trie = trie_of({"a", "abc", "abd", "b", "bcd"});
    std::vector<std::uint32_t> ends;
    for (const TokenTrie::Node& node : trie.nodes())
        ends.push_back(node.end);
    // a ab abc abd b bc bcd
    CHECK(ends == std::vector<std::uint32_t>{4, 4, 3, 4, 7, 7, 7});
}

TEST_CASE("an empty vocabulary has no nodes") {
    const TokenTrie trie = trie_of({});
    CHECK(trie.nodes().empty());
    CHECK(trie.vocab_size() == 0);
    CHECK_FALSE(trie.has_all_text_bytes());
}

TEST_CASE("bytes and stop ids are those given") {
    const std::vector<std::string_view> tokens{"x", "", "yz"};
    const TokenTrie trie(tokens, std::vector<std::int32_t>{1});
    CHECK(trie.bytes_of(0) == "x");
    CHECK(trie.bytes_of(1).empty());
    CHECK(trie.bytes_of(2) == "yz");
    CHECK(trie.is_stop(1));
    CHECK_FALSE(trie.is_stop(2));
}

TEST_CASE("tokens of absurd length are refused") {
    const std::string token(TokenTrie::kMaxTokenBytes + 1, 'x');
    CHECK_THROWS_WITH_AS(trie_of({"a", token}), doctest::Contains("token 1 has 1025 bytes"), Error);
}

TEST_CASE("a vocabulary with every byte of UTF-8 has all text bytes") {
    std::vector<std::string> bytes;
    for (int byte = 0; byte < 256; ++byte)
        bytes.emplace_back(1, static_cast<char>(byte));
    std::vector<std::string_view> views(bytes.begin(), bytes.end());
    CHECK(trie_of(views).has_all_text_bytes());
    views[0xff] = "";
    CHECK(trie_of(views).has_all_text_bytes());
    views['}'] = "";
    CHECK_FALSE(trie_of(views).has_all_text_bytes());
}
