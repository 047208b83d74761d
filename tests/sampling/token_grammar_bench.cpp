// Time to compile a schema and to fill masks over a vocabulary: token_grammar_bench RANK_FILE

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "sampling/token_grammar.h"
#include "text/tokenizer.h"

using namespace baltoro;

namespace {

using Clock = std::chrono::steady_clock;

double ms_since(Clock::time_point begin) {
    return std::chrono::duration<double, std::milli>(Clock::now() - begin).count();
}

std::shared_ptr<const TokenTrie> trie_of(const Tokenizer& tokenizer) {
    std::vector<std::string_view> bytes;
    for (std::int32_t id = 0; id < tokenizer.vocab_size(); ++id)
        bytes.push_back(tokenizer.token_bytes(id));
    const auto begin = Clock::now();
    auto trie = std::make_shared<const TokenTrie>(bytes, std::vector<std::int32_t>{});
    std::printf("vocabulary %zu, trie of %zu nodes in %.0f ms\n", trie->vocab_size(),
                trie->nodes().size(), ms_since(begin));
    return trie;
}

// Fills a mask before each token of `answer` and prints the times of first fills; a second pass
// over the same answer shows what remembering gains.
void measure(std::string_view name,
             std::string_view schema,
             std::string_view answer,
             const Tokenizer& tokenizer,
             const std::shared_ptr<const TokenTrie>& trie) {
    auto begin = Clock::now();
    const auto grammar = compile_schema(schema, trie);
    if (!grammar) {
        std::printf("%.*s: %s\n", static_cast<int>(name.size()), name.data(),
                    grammar.error().c_str());
        return;
    }
    const double compile_ms = ms_since(begin);
    begin = Clock::now();
    GrammarState state(*grammar);
    const double construct_ms = ms_since(begin);
    TokenMask allowed(trie->vocab_size());
    std::vector<double> times;
    std::size_t most_allowed = 0;
    for (const std::int32_t id : tokenizer.encode(answer)) {
        begin = Clock::now();
        state.fill(allowed);
        times.push_back(ms_since(begin));
        most_allowed = std::max(most_allowed, allowed.n_allowed());
        if (!allowed.allows(id) || !state.accept(id)) std::printf("token %d is refused\n", id);
    }
    std::sort(times.begin(), times.end());
    std::printf(
        "%-22.*s compile %.2f ms, state %.2f ms; fill median %.3f ms, max %.3f ms; allowed <= "
        "%zu\n",
        static_cast<int>(name.size()), name.data(), compile_ms, construct_ms,
        times[times.size() / 2], times.back(), most_allowed);
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 2) {
        std::printf("usage: token_grammar_bench RANK_FILE\n");
        return 1;
    }
    std::ifstream file(argv[1], std::ios::binary);
    const std::string ranks{std::istreambuf_iterator<char>(file), {}};
    const Tokenizer tokenizer = Tokenizer::from_ranks(ranks, {}, argv[1]);
    const auto trie = trie_of(tokenizer);
    const std::string_view answer =
        R"({"title": "The quick brown fox", "text": "jumps over \"the\" lazy dog, 日本語, )"
        R"(and then some more words follow", "n": 12345, "tags": ["a", "bcd"]})";
    measure("any object", "{}", answer, tokenizer, trie);
    measure("four properties",
            R"({"type":"object","properties":{"title":{"type":"string"},"text":{"type":"string"},)"
            R"("n":{"type":"integer"},"tags":{"type":"array","items":{"type":"string"}}},)"
            R"("required":["title","text","n","tags"]})",
            answer, tokenizer, trie);
    measure("bounded strings",
            R"({"type":"object","properties":{"title":{"type":"string","maxLength":100},)"
            R"("text":{"type":"string","minLength":3,"maxLength":5000},"n":{"type":"integer"},)"
            R"("tags":{"type":"array","items":{"type":"string","maxLength":30}}}})",
            answer, tokenizer, trie);
    measure("any after known",
            R"({"properties":{"title":{},"text":{}},"additionalProperties":true})", answer,
            tokenizer, trie);
    return 0;
}
