#include "text/byte_pair.h"

#include <chrono>
#include <filesystem>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "base/mapped_file.h"
#include "base/random.h"
#include "text/rank_file.h"
#include "text/tokenizer.h"

using namespace baltoro;

namespace {

// Merging as it is defined: scan all pairs, merge the leftmost of the lowest rank, repeat.
std::vector<std::int32_t> merged_by_scanning(const TokenTable& ranks, const std::string& piece) {
    if (const std::int32_t whole = ranks.find(piece); whole >= 0) return {whole};
    std::vector<std::string> parts;
    for (const char byte : piece)
        parts.emplace_back(1, byte);
    for (;;) {
        std::int32_t lowest = -1;
        std::size_t place = 0;
        for (std::size_t i = 0; i + 1 < parts.size(); ++i) {
            const std::int32_t rank = ranks.find(parts[i] + parts[i + 1]);
            if (rank < 0 || (lowest >= 0 && rank >= lowest)) continue;
            lowest = rank;
            place = i;
        }
        if (lowest < 0) break;
        parts[place] += parts[place + 1];
        parts.erase(parts.begin() + static_cast<std::ptrdiff_t>(place) + 1);
    }
    std::vector<std::int32_t> ids;
    for (const std::string& part : parts)
        ids.push_back(ranks.find(part));
    return ids;
}

// Single bytes and 400 random strings over a small alphabet, in random order of ranks.
TokenTable random_ranks(Random& random) {
    TokenTable ranks;
    std::int32_t rank = 0;
    for (int value = 0; value < 256; ++value) {
        const char byte = static_cast<char>(value);
        ranks.add({&byte, 1}, rank++);
    }
    for (int i = 0; i < 400; ++i) {
        std::string token;
        for (std::uint64_t n = 2 + random.below(i < 100 ? 1 : 4); n > 0; --n)
            token += static_cast<char>('a' + random.below(4));
        if (ranks.find(token) < 0) ranks.add(token, rank++);
    }
    return ranks;
}

std::string random_piece(Random& random, std::size_t size) {
    std::string piece;
    while (piece.size() < size)
        piece += static_cast<char>('a' + random.below(4));
    return piece;
}

std::vector<std::int32_t> encoded(const BytePairEncoder& encoder, std::string_view piece) {
    std::vector<std::int32_t> ids;
    encoder.encode(piece, ids);
    return ids;
}

}  // namespace

TEST_CASE("pieces of any length are merged as by scanning") {
    for (std::uint64_t seed = 0; seed < 20; ++seed) {
        Random random(seed);
        const BytePairEncoder encoder(random_ranks(random));
        for (int i = 0; i < 60; ++i) {
            const std::string piece = random_piece(random, random.below(i < 50 ? 40 : 300));
            CAPTURE(seed);
            CAPTURE(piece);
            if (piece.empty()) {
                CHECK(encoded(encoder, piece).empty());
            } else {
                CHECK(encoded(encoder, piece) == merged_by_scanning(encoder.ranks(), piece));
            }
        }
    }
}

TEST_CASE("lengths around the change of algorithm are merged as by scanning") {
    Random random(77);
    const BytePairEncoder encoder(random_ranks(random));
    for (std::size_t size = 90; size < 104; ++size) {
        const std::string piece = random_piece(random, size);
        CAPTURE(piece);
        CHECK(encoded(encoder, piece) == merged_by_scanning(encoder.ranks(), piece));
    }
}

TEST_CASE("a complete rank file merges as by scanning and comes back unchanged") {
    const std::string path = std::string(BALTORO_SHARED_DIR) + "/tokenizer/qwen.tiktoken";
    if (!std::filesystem::exists(path)) {
        MESSAGE("skipped: no " << path);
        return;
    }
    const std::string text = read_small_file(path, kMaxRankFileBytes);
    const BytePairEncoder encoder(parse_rank_file(text, path));
    const Tokenizer tokenizer = Tokenizer::from_ranks(text, {}, path);
    CHECK(tokenizer.vocab_size() == 151643);
    Random random(3);
    for (int round = 0; round < 400; ++round) {
        CAPTURE(round);
        std::string bytes;
        std::string tokens;
        for (std::uint64_t n = 1 + random.below(60); n > 0; --n)
            bytes += static_cast<char>(random.below(256));
        for (std::uint64_t n = 1 + random.below(20); n > 0; --n)
            tokens += tokenizer.token_bytes(static_cast<std::int32_t>(random.below(151643)));
        CHECK(encoded(encoder, bytes) == merged_by_scanning(encoder.ranks(), bytes));
        CHECK(encoded(encoder, tokens) == merged_by_scanning(encoder.ranks(), tokens));
        CHECK(tokenizer.decode(tokenizer.encode(bytes)) == bytes);
        CHECK(tokenizer.decode(tokenizer.encode(tokens)) == tokens);
    }
}

TEST_CASE("a piece of 25,000 characters is not quadratic") {
    Random random(5);
    const BytePairEncoder encoder(random_ranks(random));
    const std::string piece = random_piece(random, 25000);
    const auto start = std::chrono::steady_clock::now();
    const std::vector<std::int32_t> ids = encoded(encoder, piece);
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
    std::string joined;
    for (const std::int32_t id : ids)
        joined += encoder.ranks().bytes(id);
    CHECK(joined == piece);
    // A quadratic merge looks at 10^8 pairs or more; this takes 4 ms here, sanitizers and load
    // aside.
    CHECK(elapsed.count() < 0.5);
}
