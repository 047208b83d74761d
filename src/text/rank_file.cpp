#include "text/rank_file.h"

#include <array>
#include <charconv>
#include <optional>
#include <vector>

#include <fmt/format.h>

#include "base/error.h"
#include "base/log.h"

namespace baltoro {
namespace {

// Where a message points to.
struct Line {
    const std::string& source;
    std::size_t number;

    Error error(const std::string& reason) const {
        return Error(
            fmt::format("{}: line {}: {}; the file is damaged or no tiktoken rank file, "
                        "fetch it again",
                        source, number, reason));
    }
};

constexpr std::array<std::int8_t, 256> make_base64_values() {
    std::array<std::int8_t, 256> values{};
    for (auto& value : values)
        value = -1;
    constexpr std::string_view kAlphabet =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (std::size_t i = 0; i < kAlphabet.size(); ++i)
        values[static_cast<unsigned char>(kAlphabet[i])] = static_cast<std::int8_t>(i);
    return values;
}

constexpr std::array<std::int8_t, 256> kBase64Values = make_base64_values();

// Replaces `bytes` by what `text` stands for; strict about alphabet, padding and unused bits.
void decode_base64(std::string_view text, const Line& line, std::string& bytes) {
    bytes.clear();
    if (text.size() % 4 != 0)
        throw line.error(fmt::format("base64 of {} characters, not a multiple of 4", text.size()));
    std::size_t n_padding = 0;
    while (n_padding < 2 && text.size() > n_padding && text[text.size() - 1 - n_padding] == '=')
        ++n_padding;
    std::uint32_t bits = 0;
    int n_bits = 0;
    for (const char c : text.substr(0, text.size() - n_padding)) {
        const int value = kBase64Values[static_cast<unsigned char>(c)];
        if (value < 0) {
            throw line.error(fmt::format("byte 0x{:02x} in base64", static_cast<unsigned char>(c)));
        }
        bits = bits << 6 | static_cast<std::uint32_t>(value);
        n_bits += 6;
        if (n_bits < 8) continue;
        n_bits -= 8;
        bytes += static_cast<char>(bits >> n_bits & 0xff);
    }
    if ((bits & ((1u << n_bits) - 1)) != 0)
        throw line.error("base64 with bits set after its last byte");
}

std::int32_t parse_rank(std::string_view text, const Line& line) {
    std::int64_t rank = 0;
    const char* const end = text.data() + text.size();
    const auto [rest, error] = std::from_chars(text.data(), end, rank);
    if (error == std::errc::result_out_of_range || rank > kMaxTokenId)
        throw line.error(fmt::format("rank too large, at most {} is accepted", kMaxTokenId));
    if (error != std::errc() || rest == text.data()) throw line.error("rank is not a number");
    if (rank < 0 || text[0] == '-') throw line.error("rank is negative");
    if (rest != end) throw line.error("unexpected bytes after the rank");
    return static_cast<std::int32_t>(rank);
}

void add_line(std::string_view text, const Line& line, std::string& scratch, TokenTable& ranks) {
    const std::size_t space = text.find(' ');
    if (space == std::string_view::npos)
        throw line.error("expected \"base64 rank\", found no space");
    if (space == 0) throw line.error("empty token");
    decode_base64(text.substr(0, space), line, scratch);
    if (scratch.empty()) throw line.error("empty token");
    const std::int32_t rank = parse_rank(text.substr(space + 1), line);
    if (ranks.contains(rank)) throw line.error(fmt::format("rank {} is given twice", rank));
    const std::int32_t known = ranks.add(scratch, rank);
    if (known >= 0) throw line.error(fmt::format("the same token as rank {}", known));
}

void check_single_bytes(const TokenTable& ranks, const std::string& source) {
    for (int value = 0; value < 256; ++value) {
        const char byte = static_cast<char>(value);
        if (ranks.find({&byte, 1}) >= 0) continue;
        throw Error(
            fmt::format("{}: no token for the single byte 0x{:02x} in {} lines; the file is "
                        "cut off or no byte-level vocabulary, fetch it again",
                        source, value, ranks.n_tokens()));
    }
}

void warn_of_gaps(const TokenTable& ranks, const std::string& source) {
    const std::int32_t n_missing = ranks.size() - ranks.n_tokens();
    if (n_missing == 0) return;
    std::int32_t first = 0;
    while (ranks.contains(first))
        ++first;
    log_warning(fmt::format("{}: {} of the ranks below {} are missing, the first is {}", source,
                            n_missing, ranks.size(), first));
}

}  // namespace

TokenTable parse_rank_file(std::string_view text, const std::string& source) {
    if (text.empty()) throw Error(source + ": line 1: the file is empty; fetch it again");
    if (text.size() > kMaxRankFileBytes) {
        throw Error(fmt::format("{}: has {} bytes, at most {} are accepted", source, text.size(),
                                kMaxRankFileBytes));
    }
    TokenTable ranks;
    std::string scratch;
    for (std::size_t number = 1; !text.empty(); ++number) {
        const std::size_t end = text.find('\n');
        std::string_view line = text.substr(0, end);
        if (line.ends_with('\r')) line.remove_suffix(1);  // a published rank file ends lines so
        add_line(line, Line{source, number}, scratch, ranks);
        text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    }
    check_single_bytes(ranks, source);
    warn_of_gaps(ranks, source);
    return ranks;
}

}  // namespace baltoro
