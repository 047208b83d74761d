#include "text/tokenizer.h"

#include <algorithm>
#include <filesystem>
#include <utility>

#include <fmt/format.h>

#include "base/error.h"
#include "base/mapped_file.h"
#include "text/byte_pair.h"
#include "text/pretokenizer.h"
#include "text/rank_file.h"
#include "text/special_tokens.h"
#include "text/text_parts.h"

namespace baltoro {
namespace {

constexpr std::size_t kMaxConfigBytes = std::size_t{64} << 20;

}  // namespace

struct Tokenizer::State {
    Pretokenizer pretokenizer;
    BytePairEncoder encoder;
    SpecialTokens special;

    State(TokenTable ranks, const SpecialTokenList& tokens, const std::string& source)
        : encoder(std::move(ranks)), special(tokens, encoder.ranks(), source) {}

    void encode_plain(std::string_view text,
                      std::vector<std::string_view>& pieces,
                      std::vector<std::int32_t>& ids) const {
        pieces.clear();
        pretokenizer.split(text, pieces);
        for (const std::string_view piece : pieces)
            encoder.encode(piece, ids);
    }

    void encode_part(std::string_view text,
                     bool with_special,
                     std::vector<std::string_view>& pieces,
                     std::vector<std::int32_t>& ids) const {
        while (with_special) {
            const auto found = special.find_first(text);
            if (!found) break;
            encode_plain(text.substr(0, found->begin), pieces, ids);
            ids.push_back(found->id);
            text.remove_prefix(found->end);
        }
        encode_plain(text, pieces, ids);
    }

    std::vector<std::int32_t> encode(std::string_view text, bool with_special) const {
        std::vector<std::int32_t> ids;
        std::vector<std::string_view> pieces;
        for (const TextPart& part : cut_text(text)) {
            if (part.is_valid) {
                encode_part(part.text, with_special, pieces, ids);
            } else {
                encoder.encode_bytes(part.text, ids);
            }
        }
        return ids;
    }

    std::string_view bytes(std::int32_t id) const noexcept {
        const std::string_view ordinary = encoder.ranks().bytes(id);
        return ordinary.empty() ? special.table().bytes(id) : ordinary;
    }

    std::int32_t vocab_size() const noexcept {
        return std::max(encoder.ranks().size(), special.table().size());
    }
};

Tokenizer Tokenizer::from_directory(const std::string& directory) {
    const std::filesystem::path folder(directory);
    const std::string rank_path = (folder / "tiktoken.model").string();
    const std::string config_path = (folder / "tokenizer_config.json").string();
    TokenTable ranks = parse_rank_file(read_small_file(rank_path, kMaxRankFileBytes), rank_path);
    SpecialTokenList tokens;
    std::error_code ignored;
    if (std::filesystem::exists(config_path, ignored))
        tokens = parse_added_tokens(read_small_file(config_path, kMaxConfigBytes), config_path);
    if (tokens.empty()) tokens = kimi_special_tokens(ranks.size());
    fill_reserved_slots(ranks.size(), tokens);
    return Tokenizer(std::make_unique<State>(std::move(ranks), tokens, config_path));
}

Tokenizer Tokenizer::from_ranks(std::string_view rank_file,
                                std::vector<std::pair<std::string, std::int32_t>> special_tokens,
                                const std::string& source) {
    return Tokenizer(
        std::make_unique<State>(parse_rank_file(rank_file, source), special_tokens, source));
}

Tokenizer::Tokenizer(std::unique_ptr<State> state) noexcept : state_(std::move(state)) {}
Tokenizer::~Tokenizer() = default;
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;
Tokenizer& Tokenizer::operator=(Tokenizer&&) noexcept = default;

std::vector<std::int32_t> Tokenizer::encode(std::string_view text) const {
    return state_->encode(text, false);
}

std::vector<std::int32_t> Tokenizer::encode_with_special(std::string_view text) const {
    return state_->encode(text, true);
}

std::string Tokenizer::decode(std::span<const std::int32_t> ids) const {
    std::string text;
    for (const std::int32_t id : ids) {
        if (id < 0 || id >= vocab_size()) {
            throw Error(fmt::format("cannot decode token id {}: the vocabulary has ids 0 to {}", id,
                                    vocab_size() - 1));
        }
        text.append(token_bytes(id));
    }
    return text;
}

std::string_view Tokenizer::token_bytes(std::int32_t id) const noexcept {
    return state_->bytes(id);
}

std::optional<std::int32_t> Tokenizer::special_id(std::string_view text) const noexcept {
    const std::int32_t id = state_->special.table().find(text);
    if (id < 0) return std::nullopt;
    return id;
}

bool Tokenizer::is_special(std::int32_t id) const noexcept {
    return id >= 0 && state_->special.table().contains(id);
}

std::int32_t Tokenizer::vocab_size() const noexcept {
    return state_->vocab_size();
}

}  // namespace baltoro
