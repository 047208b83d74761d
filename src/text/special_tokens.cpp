#include "text/special_tokens.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <set>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "text/rank_file.h"

namespace baltoro {
namespace {

using nlohmann::json;

constexpr int kMaxDepth = 128;
constexpr std::int32_t kReservedSlots = 256;

struct KimiToken {
    std::int32_t offset;
    std::string_view text;
};

// As K2.5 registers them; the earlier models leave 18 to 23 unnamed and never produce them.
constexpr std::array<KimiToken, 23> kKimiTokens = {{
    {0, "[BOS]"},
    {1, "[EOS]"},
    {2, "<|im_end|>"},
    {3, "<|im_user|>"},
    {4, "<|im_assistant|>"},
    {6, "<|start_header_id|>"},
    {7, "<|end_header_id|>"},
    {9, "[EOT]"},
    {10, "<|im_system|>"},
    {11, "<|tool_calls_section_begin|>"},
    {12, "<|tool_calls_section_end|>"},
    {13, "<|tool_call_begin|>"},
    {14, "<|tool_call_argument_begin|>"},
    {15, "<|tool_call_end|>"},
    {17, "<|im_middle|>"},
    {18, "<|media_begin|>"},
    {19, "<|media_content|>"},
    {20, "<|media_end|>"},
    {21, "<|media_pad|>"},
    {22, "<think>"},
    {23, "</think>"},
    {254, "[UNK]"},
    {255, "[PAD]"},
}};

// Parses, refusing what nlohmann::json accepts silently: repeated keys and any depth.
json parse_strictly(const std::string& text, const std::string& source) {
    std::vector<std::set<std::string>> keys(1);
    const auto watch = [&](int depth, json::parse_event_t event, const json& value) {
        if (depth > kMaxDepth)
            throw Error(fmt::format("{}: nested deeper than {} levels", source, kMaxDepth));
        const auto level = static_cast<std::size_t>(depth);
        if (keys.size() <= level + 1) keys.resize(level + 2);
        if (event == json::parse_event_t::object_start) keys[level + 1].clear();
        if (event == json::parse_event_t::key) {
            const auto& key = value.get_ref<const std::string&>();
            if (!keys[level].insert(key).second)
                throw Error(fmt::format("{}: \"{}\" is given twice", source, key));
        }
        return true;
    };
    try {
        return json::parse(text, watch);
    } catch (const json::exception& error) {
        throw Error(fmt::format("{}: not valid JSON: {}", source, error.what()));
    }
}

std::int32_t parse_id(const std::string& key, const std::string& source) {
    std::int64_t id = 0;
    const char* const end = key.data() + key.size();
    const auto [rest, error] = std::from_chars(key.data(), end, id);
    const bool is_canonical = rest == end && error == std::errc() && std::to_string(id) == key;
    if (error == std::errc::result_out_of_range || (is_canonical && id > kMaxTokenId)) {
        throw Error(
            fmt::format("{}: added_tokens_decoder: id {} is too large, at most {} is "
                        "accepted",
                        source, key, kMaxTokenId));
    }
    if (!is_canonical)
        throw Error(fmt::format("{}: added_tokens_decoder: \"{}\" is no token id", source, key));
    if (id < 0) throw Error(fmt::format("{}: added_tokens_decoder: id {} is negative", source, id));
    return static_cast<std::int32_t>(id);
}

std::string parse_content(const std::string& key, const json& entry, const std::string& source) {
    const auto fail = [&](std::string_view reason) {
        return Error(fmt::format("{}: added_tokens_decoder.{}: {}", source, key, reason));
    };
    if (!entry.is_object()) throw fail("expected an object");
    const auto content = entry.find("content");
    if (content == entry.end()) throw fail("has no \"content\"");
    if (!content->is_string()) throw fail("\"content\" is not a string");
    auto text = content->get<std::string>();
    if (text.empty()) throw fail("\"content\" is empty");
    return text;
}

}  // namespace

SpecialTokenList parse_added_tokens(const std::string& json_text, const std::string& source) {
    const json config = parse_strictly(json_text, source);
    if (!config.is_object()) throw Error(source + ": expected a JSON object");
    const auto decoder = config.find("added_tokens_decoder");
    if (decoder == config.end()) return {};
    if (!decoder->is_object()) throw Error(source + ": added_tokens_decoder: expected an object");
    SpecialTokenList tokens;
    std::set<std::string> contents;
    for (const auto& [key, entry] : decoder->items()) {
        const std::int32_t id = parse_id(key, source);
        tokens.emplace_back(parse_content(key, entry, source), id);
        if (contents.insert(tokens.back().first).second) continue;
        throw Error(fmt::format("{}: added_tokens_decoder.{}: \"{}\" is the content of another id",
                                source, key, tokens.back().first));
    }
    return tokens;
}

SpecialTokenList kimi_special_tokens(std::int32_t n_ranks) {
    SpecialTokenList tokens;
    for (const KimiToken& token : kKimiTokens)
        tokens.emplace_back(token.text, n_ranks + token.offset);
    return tokens;
}

void fill_reserved_slots(std::int32_t n_ranks, SpecialTokenList& tokens) {
    std::set<std::int32_t> named;
    for (const auto& [text, id] : tokens)
        named.insert(id);
    for (std::int32_t id = n_ranks; id < n_ranks + kReservedSlots; ++id)
        if (!named.contains(id)) tokens.emplace_back(fmt::format("<|reserved_token_{}|>", id), id);
}

SpecialTokens::SpecialTokens(const SpecialTokenList& tokens,
                             const TokenTable& ranks,
                             const std::string& source) {
    for (const auto& token : tokens) {
        const std::string& text = token.first;
        const std::int32_t id = token.second;
        const auto fail = [&](const std::string& reason) {
            return Error(
                fmt::format("{}: special token \"{}\" with id {}: {}", source, text, id, reason));
        };
        if (text.empty()) throw fail("has no text");
        if (id < 0 || id > kMaxTokenId)
            throw fail(fmt::format("the id is not in 0 to {}", kMaxTokenId));
        if (ranks.contains(id)) throw fail("the id is that of an ordinary token");
        if (table_.contains(id))
            throw fail(fmt::format("the id is also that of \"{}\"", table_.bytes(id)));
        const std::int32_t known = table_.add(text, id);
        if (known >= 0) throw fail(fmt::format("the text is also that of id {}", known));
        lengths_.push_back(text.size());
        first_bytes_ += text[0];
    }
    std::sort(lengths_.begin(), lengths_.end(), std::greater<>());
    lengths_.erase(std::unique(lengths_.begin(), lengths_.end()), lengths_.end());
    std::sort(first_bytes_.begin(), first_bytes_.end());
    first_bytes_.erase(std::unique(first_bytes_.begin(), first_bytes_.end()), first_bytes_.end());
}

std::optional<SpecialTokens::Found> SpecialTokens::find_first(
    std::string_view text) const noexcept {
    for (std::size_t at = text.find_first_of(first_bytes_); at != std::string_view::npos;
         at = text.find_first_of(first_bytes_, at + 1)) {
        for (const std::size_t length : lengths_) {
            if (length > text.size() - at) continue;
            const std::int32_t id = table_.find(text.substr(at, length));
            if (id >= 0) return Found{at, at + length, id};
        }
    }
    return std::nullopt;
}

}  // namespace baltoro
