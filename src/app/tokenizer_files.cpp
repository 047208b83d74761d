#include "app/tokenizer_files.h"

#include <string_view>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/check.h"

namespace baltoro {
namespace {

struct SpecialToken {
    int offset;  // from the first reserved id
    std::string_view text;
    bool is_special;  // left out of decoded text; the parsers of answers need to see the others
};

constexpr int kEndOfTurn = 2;

constexpr SpecialToken kSpecialTokens[] = {
    {0, "[BOS]", true},
    {1, "[EOS]", true},
    {kEndOfTurn, "<|im_end|>", true},
    {3, "<|im_user|>", true},
    {4, "<|im_assistant|>", true},
    {6, "<|start_header_id|>", true},
    {7, "<|end_header_id|>", true},
    {9, "[EOT]", true},
    {10, "<|im_system|>", true},
    {11, "<|tool_calls_section_begin|>", false},
    {12, "<|tool_calls_section_end|>", false},
    {13, "<|tool_call_begin|>", false},
    {14, "<|tool_call_argument_begin|>", false},
    {15, "<|tool_call_end|>", false},
    {17, "<|im_middle|>", true},
    {18, "<|media_begin|>", true},
    {19, "<|media_content|>", true},
    {20, "<|media_end|>", true},
    {21, "<|media_pad|>", true},
    {22, "<think>", false},
    {23, "</think>", false},
    {254, "[UNK]", true},
    {255, "[PAD]", true},
};

std::string base64(std::string_view bytes) {
    constexpr std::string_view kDigits =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::string text;
    for (std::size_t i = 0; i < bytes.size(); i += 3) {
        const std::string_view three = bytes.substr(i, 3);
        unsigned bits = 0;
        for (std::size_t j = 0; j < 3; ++j)
            bits = bits << 8 | (j < three.size() ? static_cast<unsigned char>(three[j]) : 0u);
        for (std::size_t j = 0; j < 4; ++j)
            text += j <= three.size() ? kDigits[bits >> (18 - 6 * j) & 63] : '=';
    }
    return text;
}

// The bytes in the order of GPT-2's ranks: printable ones first.
std::string ranked_bytes() {
    std::string ranked;
    const auto add = [&](int first, int last) {
        for (int byte = first; byte <= last; ++byte)
            ranked += static_cast<char>(byte);
    };
    add(0x21, 0x7e);
    add(0xa1, 0xac);
    add(0xae, 0xff);
    add(0x00, 0x20);
    add(0x7f, 0xa0);
    add(0xad, 0xad);
    return ranked;
}

// Byte string number `rank`: 256 bytes, 256^2 pairs, 256^3 triples, each in the order of their
// parts' ranks, so every one is the concatenation of two of lower rank.
std::string token_of_rank(int rank, const std::string& bytes) {
    int n_bytes = 1;
    int n_tokens = 256;
    for (; rank >= n_tokens; ++n_bytes, n_tokens *= 256)
        rank -= n_tokens;
    std::string token(static_cast<std::size_t>(n_bytes), '\0');
    for (int i = n_bytes - 1; i >= 0; --i, rank /= 256)
        token[static_cast<std::size_t>(i)] = bytes[static_cast<std::size_t>(rank % 256)];
    return token;
}

}  // namespace

std::string rank_file_text(int n_ranks) {
    check(n_ranks >= 256 && n_ranks <= 1 << 24, "a rank file has all bytes and at most triples");
    const std::string bytes = ranked_bytes();
    std::string text;
    for (int rank = 0; rank < n_ranks; ++rank)
        text += fmt::format("{} {}\n", base64(token_of_rank(rank, bytes)), rank);
    return text;
}

std::string tokenizer_config_json(int base) {
    nlohmann::ordered_json config;
    nlohmann::ordered_json& decoder = config["added_tokens_decoder"];
    for (const SpecialToken& token : kSpecialTokens) {
        decoder[std::to_string(base + token.offset)] = {
            {"content", token.text}, {"lstrip", false},      {"normalized", false},
            {"rstrip", false},       {"single_word", false}, {"special", token.is_special},
        };
    }
    config["additional_special_tokens"] = {
        "<|im_end|>",        "<|im_user|>", "<|im_assistant|>", "<|start_header_id|>",
        "<|end_header_id|>", "[EOT]",       "<|im_system|>",    "<|im_middle|>"};
    config["bos_token"] = "[BOS]";
    config["clean_up_tokenization_spaces"] = false;
    config["eos_token"] = "[EOS]";
    config["model_max_length"] = 1e30;
    config["pad_token"] = "[PAD]";
    config["tokenizer_class"] = "TikTokenTokenizer";
    config["unk_token"] = "[UNK]";
    return config.dump(2) + "\n";
}

std::string generation_config_json(int base) {
    const nlohmann::ordered_json config = {{"eos_token_id", base + kEndOfTurn},
                                           {"temperature", 0.6}};
    return config.dump(2) + "\n";
}

}  // namespace baltoro
