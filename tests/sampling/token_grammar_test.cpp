#include "sampling/token_grammar.h"

#include <algorithm>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include "base/random.h"
#include "tests/sampling/allocation_count.h"
#include "tests/sampling/schema_samples.h"
#include "tests/sampling/schema_validator.h"

using namespace baltoro;

namespace {

// Ids 0 to 255 are bytes, 256 is the end of an answer, 257 a special token.
constexpr std::int32_t kStop = 256;
constexpr std::int32_t kSpecial = 257;

std::shared_ptr<const TokenTrie> vocabulary_of(const std::vector<std::string>& longer) {
    std::vector<std::string> texts;
    for (int byte = 0; byte < 256; ++byte)
        texts.emplace_back(1, static_cast<char>(byte));
    texts.insert(texts.end(), 2, "");
    texts.insert(texts.end(), longer.begin(), longer.end());
    return std::make_shared<const TokenTrie>(
        std::vector<std::string_view>(texts.begin(), texts.end()),
        std::vector<std::int32_t>{kStop});
}

std::shared_ptr<const TokenTrie> byte_vocabulary() {
    return vocabulary_of({});
}

// Tokens as byte-pair merges give them: across structure, parts of code points, doubles.
std::shared_ptr<const TokenTrie> merged_vocabulary() {
    return vocabulary_of({"{\"",      "\":",        "\": ",       "\":\"",    "\", \"",
                          "\",\"",    "\"}",        "}}",         "}]",       "]}",
                          "[[",       "]]",         "[\"",        "\"]",      ", ",
                          ",\"",      " \"",        " {",         " [",       "true",
                          "false",    "null",       "nul",        " null",    "12",
                          "123",      "0.",         ".5",         "e-",       "name",
                          "value",    "next",       "type",       "child",    "ren",
                          "\\u",      "\\u00",      "\\n",        "\\\"",     "ab",
                          "the ",     " a",         "  ",         "\n",       "\n\n",
                          "\t",       "\xc3\xa9",   "\xe6\x97",   "\x97\xa5", "\xe6\x97\xa5\xe6",
                          "\xf0\x9f", "\x98\x80\"", "\xc3\xa9\"", "ab",       "{}",
                          "[]",       "{\"a\":",    "\":1,",      ",,",       "}\n",
                          "```"});
}

std::shared_ptr<const TokenGrammar> grammar_of(std::string_view schema,
                                               const std::shared_ptr<const TokenTrie>& vocabulary) {
    Result<std::shared_ptr<const TokenGrammar>> grammar = compile_schema(schema, vocabulary);
    REQUIRE_MESSAGE(grammar.has_value(), grammar.error());
    return std::move(grammar).value();
}

bool starts_with(std::string_view text, std::string_view start) {
    return !start.empty() && text.substr(0, start.size()) == start;
}

// Cuts a text into tokens: always the longest that fits, or any at random.
std::vector<std::int32_t> tokens_of(std::string_view text, const TokenTrie& trie, Random* random) {
    std::vector<std::int32_t> ids;
    while (!text.empty()) {
        std::vector<std::int32_t> fitting;
        for (std::size_t id = 0; id < trie.vocab_size(); ++id)
            if (starts_with(text, trie.bytes_of(static_cast<std::int32_t>(id))))
                fitting.push_back(static_cast<std::int32_t>(id));
        const std::int32_t id =
            random != nullptr
                ? fitting[random->below(fitting.size())]
                : *std::max_element(fitting.begin(), fitting.end(), [&](auto a, auto b) {
                      return trie.bytes_of(a).size() < trie.bytes_of(b).size();
                  });
        ids.push_back(id);
        text.remove_prefix(trie.bytes_of(id).size());
    }
    return ids;
}

// Whether these tokens are accepted and complete an answer.
bool takes(GrammarState& state, const std::vector<std::int32_t>& ids) {
    state.restart();
    for (const std::int32_t id : ids)
        if (!state.accept(id)) return false;
    return state.is_complete();
}

// A token that brings an answer to its end if one is allowed, else any.
std::int32_t drawn(const TokenMask& allowed, bool is_ending, Random& random) {
    if (is_ending)
        for (const std::int32_t id : {kStop, std::int32_t{'"'}, std::int32_t{'}'},
                                      std::int32_t{']'}, std::int32_t{'n'}, std::int32_t{'0'}})
            if (allowed.allows(id)) return id;
    std::vector<std::int32_t> ids;
    for (std::size_t id = 0; id < allowed.vocab_size(); ++id)
        if (allowed.allows(static_cast<std::int32_t>(id)))
            ids.push_back(static_cast<std::int32_t>(id));
    return ids[random.below(ids.size())];
}

// An answer of random tokens of the masks.
std::string walked(GrammarState& state, const TokenTrie& trie, Random& random) {
    TokenMask allowed(trie.vocab_size());
    std::string text;
    state.restart();
    const std::uint64_t n_free = random.below(60);
    for (std::uint64_t n = 0; n < 20000; ++n) {
        state.fill(allowed);
        REQUIRE(allowed.n_allowed() > 0);
        CHECK(allowed.allows(kStop) == state.is_complete());
        CHECK_FALSE(allowed.allows(kSpecial));
        const std::int32_t id = drawn(allowed, n >= n_free, random);
        CHECK(state.accept(id));
        if (id == kStop) return text;
        text += trie.bytes_of(id);
    }
    FAIL("the answer does not end");
    return text;
}

void check_walks(const std::shared_ptr<const TokenTrie>& vocabulary, std::uint64_t seed) {
    Random random(seed);
    for (const SchemaSample& sample : kSchemaSamples) {
        CAPTURE(sample.schema);
        GrammarState state(grammar_of(sample.schema, vocabulary));
        const nlohmann::json schema = nlohmann::json::parse(sample.schema);
        for (int i = 0; i < 40; ++i) {
            const std::string text = walked(state, *vocabulary, random);
            CAPTURE(text);
            const nlohmann::json value = nlohmann::json::parse(text, nullptr, false);
            REQUIRE_FALSE(value.is_discarded());
            CHECK(satisfies(schema, value, schema));
        }
    }
}

}  // namespace

TEST_CASE("random walks over bytes give values that satisfy the schema") {
    check_walks(byte_vocabulary(), 1);
}

TEST_CASE("random walks over longer tokens give values that satisfy the schema") {
    check_walks(merged_vocabulary(), 2);
}

TEST_CASE("documents are accepted however they are cut into tokens") {
    const auto bytes = byte_vocabulary();
    const auto merged = merged_vocabulary();
    Random random(3);
    for (const SchemaSample& sample : kSchemaSamples) {
        CAPTURE(sample.schema);
        GrammarState of_bytes(grammar_of(sample.schema, bytes));
        GrammarState of_merged(grammar_of(sample.schema, merged));
        for (const std::string_view document : sample.accepted) {
            CAPTURE(document);
            CHECK(takes(of_bytes, tokens_of(document, *bytes, nullptr)));
            CHECK(takes(of_merged, tokens_of(document, *merged, nullptr)));
            for (int i = 0; i < 5; ++i)
                CHECK(takes(of_merged, tokens_of(document, *merged, &random)));
        }
        for (const std::string_view document : sample.refused) {
            CAPTURE(document);
            CHECK_FALSE(takes(of_bytes, tokens_of(document, *bytes, nullptr)));
            CHECK_FALSE(takes(of_merged, tokens_of(document, *merged, nullptr)));
            for (int i = 0; i < 5; ++i)
                CHECK_FALSE(takes(of_merged, tokens_of(document, *merged, &random)));
        }
    }
}

TEST_CASE("a mask allows exactly the tokens whose bytes are accepted") {
    const auto vocabulary = merged_vocabulary();
    Random random(4);
    for (const SchemaSample& sample : kSchemaSamples) {
        CAPTURE(sample.schema);
        const auto grammar = grammar_of(sample.schema, vocabulary);
        GrammarState state(grammar);
        GrammarAutomaton automaton(grammar->grammar());
        TokenMask allowed(vocabulary->vocab_size());
        GrammarAutomaton::Place place = automaton.restart();
        for (int n = 0; n < 30; ++n) {
            state.fill(allowed);
            for (std::int32_t id = 0; id < static_cast<std::int32_t>(allowed.vocab_size()); ++id) {
                GrammarAutomaton::Place next = place;
                for (const char byte : vocabulary->bytes_of(id))
                    next = automaton.step(next, static_cast<std::uint8_t>(byte));
                const bool is_right = id == kStop
                                          ? automaton.is_complete(place)
                                          : id != kSpecial && next != GrammarAutomaton::kNowhere;
                if (allowed.allows(id) == is_right) continue;
                CAPTURE(id);
                CHECK(allowed.allows(id) == is_right);
            }
            const std::int32_t id = drawn(allowed, false, random);
            if (id == kStop) break;
            state.accept(id);
            for (const char byte : vocabulary->bytes_of(id))
                place = automaton.step(place, static_cast<std::uint8_t>(byte));
        }
    }
}

TEST_CASE("an answer may stop once it is complete, and then nothing follows") {
    GrammarState state(grammar_of(R"({"type":"integer"})", byte_vocabulary()));
    TokenMask allowed(258);
    CHECK_FALSE(state.accept(kStop));
    CHECK_FALSE(state.is_complete());
    CHECK(state.accept('1'));
    CHECK(state.is_complete());
    state.fill(allowed);
    CHECK(allowed.n_allowed() == 11);  // ten digits and the stop
    CHECK(state.accept(kStop));
    state.fill(allowed);
    CHECK(allowed.n_allowed() == 1);
    CHECK(allowed.allows(kStop));
    CHECK_FALSE(state.accept('2'));
    CHECK(state.accept(kStop));
    state.restart();
    state.fill(allowed);
    CHECK(allowed.n_allowed() == 11);  // '-' and the digits
}

TEST_CASE("a token that does not fit changes nothing") {
    const auto vocabulary = vocabulary_of({"[1x"});
    GrammarState state(grammar_of(R"({"type":"array"})", vocabulary));
    CHECK_FALSE(state.accept(258));
    CHECK_FALSE(state.accept(kSpecial));
    CHECK_FALSE(state.accept(']'));
    CHECK(state.accept('['));
    CHECK(state.accept(']'));
    CHECK(state.is_complete());
}

TEST_CASE("arrays nest far deeper than any answer needs") {
    constexpr int kDepth = 15000;
    GrammarState state(grammar_of(R"({"type":"array"})", byte_vocabulary()));
    TokenMask allowed(258);
    for (int i = 0; i < kDepth; ++i)
        REQUIRE(state.accept('['));
    state.fill(allowed);
    CHECK(allowed.allows('['));
    for (int i = 0; i < kDepth; ++i) {
        CHECK_FALSE(state.is_complete());
        REQUIRE(state.accept(']'));
    }
    CHECK(state.is_complete());
    state.restart();
    int n_opened = 0;
    while (n_opened < 40000 && state.accept('['))
        ++n_opened;
    CHECK(n_opened > kDepth);
    CHECK(n_opened < 40000);  // memory is full
    state.fill(allowed);
    CHECK_FALSE(allowed.allows('['));
    CHECK(allowed.allows(']'));
    for (int i = 0; i < n_opened; ++i)
        REQUIRE(state.accept(']'));
    CHECK(state.is_complete());
}

TEST_CASE("answers with more places than are remembered stay right") {
    GrammarState state(
        grammar_of(R"({"type":"string","minLength":9000,"maxLength":9001})", byte_vocabulary()));
    TokenMask allowed(258);
    REQUIRE(state.accept('"'));
    for (int i = 0; i < 9000; ++i) {
        state.fill(allowed);
        REQUIRE_FALSE(allowed.allows('"'));
        REQUIRE(allowed.allows('x'));
        REQUIRE(state.accept('x'));
    }
    state.fill(allowed);
    CHECK(allowed.allows('"'));
    CHECK(state.accept('x'));
    CHECK_FALSE(state.accept('x'));
    CHECK(state.accept('"'));
    CHECK(state.is_complete());
}

TEST_CASE("ambiguous recursive schemas neither grow without bound nor lead to wrong values") {
    // Both branches accept the same texts, so that ways to read one double with each level.
    const std::string schema =
        R"({"$defs":{"a":{"type":"object","properties":{"n":{"$ref":"#/$defs/n"}},)"
        R"("required":["n"]},"b":{"type":"object","properties":{"n":{"$ref":"#/$defs/n"}},)"
        R"("required":["n"]},"n":{"anyOf":[{"$ref":"#/$defs/a"},{"$ref":"#/$defs/b"},)"
        R"({"type":"null"}]}},"$ref":"#/$defs/n"})";
    const auto vocabulary = vocabulary_of({"{\"n\":"});
    GrammarState state(grammar_of(schema, vocabulary));
    TokenMask allowed(vocabulary->vocab_size());
    for (int i = 0; i < 100; ++i) {
        state.fill(allowed);
        REQUIRE(allowed.allows(258));
        REQUIRE(state.accept(258));
    }
    for (const char byte : std::string_view("null"))
        REQUIRE(state.accept(byte));
    for (int i = 0; i < 100; ++i) {
        CHECK_FALSE(state.is_complete());
        REQUIRE(state.accept('}'));
    }
    CHECK(state.is_complete());
}

TEST_CASE("filling and accepting allocate nothing") {
    const auto vocabulary = merged_vocabulary();
    GrammarState state(grammar_of("{}", vocabulary));
    TokenMask allowed(vocabulary->vocab_size());
    const std::vector<std::int32_t> ids =
        tokens_of(R"({"name": "日本é😀", "value": [[1, {"next": null}]]})", *vocabulary, nullptr);
    const long before = n_allocations();
    for (int i = 0; i < 100; ++i) {
        state.restart();
        for (const std::int32_t id : ids) {
            state.fill(allowed);
            state.accept(id);
        }
    }
    const bool is_complete = state.is_complete();
    const long after = n_allocations();
    CHECK(is_complete);
    CHECK(after == before);
}

TEST_CASE("schemas and vocabularies that do not do are refused with the reason") {
    const auto bad_schema = compile_schema(R"({"type":"objekt"})", byte_vocabulary());
    REQUIRE_FALSE(bad_schema.has_value());
    CHECK(bad_schema.error().find("JSON schema: type: expected") == 0);
    const std::vector<std::string_view> few{"{", "}"};
    const auto no_bytes =
        compile_schema("{}", std::make_shared<const TokenTrie>(few, std::vector<std::int32_t>{}));
    REQUIRE_FALSE(no_bytes.has_value());
    CHECK(no_bytes.error().find("token for every byte") != std::string::npos);
}
