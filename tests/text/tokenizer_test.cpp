#include "text/tokenizer.h"

#include <set>
#include <string>
#include <thread>
#include <vector>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/mapped_file.h"
#include "base/random.h"
#include "tests/text/tokenizer_fixture.h"

using namespace baltoro;
using nlohmann::json;

TEST_CASE("the known ranks encode Kimi's goldens") {
    // The partial file has every id of these, but not the ranks on the way to them (" blob" in
    // front of another letter is merged from " bl" and "ob", which are unknown): only decoding is
    // checked.
    const std::set<std::string> unreachable = {"khmer", "emoji", "ecc_curve", "ecc_commitment",
                                               "pcs_monomial"};
    const Tokenizer tokenizer = partial_kimi_tokenizer();
    const json goldens = json::parse(read_small_file(golden_path("kimi_goldens.json"), 1 << 20));
    int n_encoded = 0;
    int n_decoded = 0;
    for (const json& golden : goldens) {
        const auto text = golden.at("text").get<std::string>();
        const auto name = golden.at("name").get<std::string>();
        CAPTURE(name);
        CHECK(tokenizer.decode(tokenizer.encode(text)) == text);
        if (!golden.at("ids_covered_by_partial_ranks").get<bool>()) continue;
        const auto expected = golden.at("token_ids").get<std::vector<std::int32_t>>();
        CHECK(tokenizer.decode(expected) == text);
        ++n_decoded;
        if (unreachable.contains(name)) continue;
        CHECK(tokenizer.encode(text) == expected);
        ++n_encoded;
    }
    CHECK(n_decoded == 18);
    CHECK(n_encoded == 13);
}

TEST_CASE("special tokens are ids only where they are asked for") {
    const Tokenizer tokenizer = partial_kimi_tokenizer();
    const std::string text = "a<|im_end|>[EOS]<|im_end|>b<|im_";
    const std::vector<std::int32_t> plain = tokenizer.encode(text);
    for (const std::int32_t id : plain)
        CHECK(!tokenizer.is_special(id));
    CHECK(tokenizer.decode(plain) == text);
    const std::vector<std::int32_t> ids = tokenizer.encode_with_special(text);
    CHECK(ids[1] == 163586);
    CHECK(ids[2] == 163585);
    CHECK(ids[3] == 163586);
    CHECK(tokenizer.decode(ids) == text);
    CHECK(tokenizer.special_id("<|im_end|>") == 163586);
    CHECK(!tokenizer.special_id("<|im_"));
    CHECK(!tokenizer.special_id("a"));
    CHECK(tokenizer.vocab_size() == 163840);
}

TEST_CASE("the longest special token at a place is taken") {
    const Tokenizer tokenizer =
        Tokenizer::from_ranks(byte_ranks(), {{"<a>", 300}, {"<a>b", 301}, {"<", 302}}, "memory");
    CHECK(tokenizer.encode_with_special("<a>b<a><") == std::vector<std::int32_t>{301, 300, 302});
}

TEST_CASE("any bytes come back unchanged") {
    const Tokenizer tokenizer = partial_kimi_tokenizer();
    Random random(1);
    for (int round = 0; round < 3000; ++round) {
        std::string bytes;
        for (std::uint64_t n = random.below(30); n > 0; --n) {
            if (random.below(3) == 0) bytes += "你<|im_end|>é ";
            bytes += static_cast<char>(random.below(256));
        }
        CAPTURE(round);
        CHECK(tokenizer.decode(tokenizer.encode(bytes)) == bytes);
        CHECK(tokenizer.decode(tokenizer.encode_with_special(bytes)) == bytes);
    }
}

TEST_CASE("ids out of range are refused and gaps decode to nothing") {
    const Tokenizer tokenizer = Tokenizer::from_ranks(byte_ranks(), {{"<x>", 300}}, "memory");
    CHECK(tokenizer.vocab_size() == 301);
    CHECK(tokenizer.token_bytes(299).empty());
    CHECK(tokenizer.token_bytes(300) == "<x>");
    CHECK(!tokenizer.is_special(-1));
    CHECK(!tokenizer.is_special(100000));
    const std::vector<std::int32_t> past{301};
    const std::vector<std::int32_t> negative{-1};
    CHECK_THROWS_WITH_AS(tokenizer.decode(past), doctest::Contains("301"), Error);
    CHECK_THROWS_WITH_AS(tokenizer.decode(negative), doctest::Contains("-1"), Error);
}

TEST_CASE("long text is encoded part by part") {
    const Tokenizer tokenizer = Tokenizer::from_ranks(byte_ranks() + "eHg= 256\n", {}, "memory");
    // The cut leaves y, 24,999 x and one x: y, 12,499 pairs and two single x.
    CHECK(tokenizer.encode("y" + std::string(25000, 'x')).size() == 1 + 12499 + 1 + 1);
}

TEST_CASE("several threads encode the same ids") {
    const Tokenizer tokenizer = partial_kimi_tokenizer();
    const std::string text = "Hello, world! 你好世界 123 don't\n\n";
    const std::vector<std::int32_t> expected = tokenizer.encode(text);
    std::vector<int> n_equal(4, 0);
    std::vector<std::thread> threads;
    for (int& count : n_equal) {
        threads.emplace_back([&tokenizer, &text, &expected, &count] {
            for (int i = 0; i < 200; ++i)
                count += tokenizer.encode(text) == expected ? 1 : 0;
        });
    }
    for (std::thread& thread : threads)
        thread.join();
    CHECK(n_equal == std::vector<int>(4, 200));
}

TEST_CASE("a checkpoint directory without added tokens gets Kimi's own") {
    const TemporaryDirectory directory;
    directory.write("tiktoken.model", byte_ranks());
    const Tokenizer tokenizer = Tokenizer::from_directory(directory.path.string());
    CHECK(tokenizer.vocab_size() == 512);
    const json known = json::parse(read_small_file(golden_path("special_tokens.json"), 1 << 20));
    const json& entries = known.at("added_tokens_decoder");
    CHECK(entries.size() == 23);
    for (const auto& item : entries.items()) {
        const std::string id = item.key();
        const json& entry = item.value();
        CAPTURE(id);
        const int expected = std::stoi(id) - known.at("base_token_count").get<int>() + 256;
        CHECK(tokenizer.special_id(entry.at("content").get<std::string>()) == expected);
    }
    CHECK(tokenizer.special_id("<|reserved_token_261|>") == 261);
    CHECK(tokenizer.is_special(261));
}

TEST_CASE("added tokens of a checkpoint directory are used and the other slots reserved") {
    const TemporaryDirectory directory;
    directory.write("tiktoken.model", byte_ranks());
    directory.write("tokenizer_config.json",
                    R"({"added_tokens_decoder":{"258":{"content":"<e>","special":false}}})");
    const Tokenizer tokenizer = Tokenizer::from_directory(directory.path.string());
    CHECK(tokenizer.special_id("<e>") == 258);
    CHECK(!tokenizer.special_id("[EOS]"));
    CHECK(tokenizer.special_id("<|reserved_token_511|>") == 511);
    CHECK(tokenizer.vocab_size() == 512);
}
