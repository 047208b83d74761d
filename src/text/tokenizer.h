#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace baltoro {

// Byte-pair tokenizer over a tiktoken rank file, with Kimi's splitting pattern and special tokens.
// Immutable after loading; encode and decode may run on any thread.
class Tokenizer {
  public:
    // Reads tiktoken.model and tokenizer_config.json (added_tokens_decoder) of a checkpoint
    // directory; without the latter Kimi's own special tokens follow the last rank. Throws Error
    // naming file, line and reason.
    static Tokenizer from_directory(const std::string& directory);

    // A rank file's text and special tokens (text, id). `source` names the file in messages.
    static Tokenizer from_ranks(std::string_view rank_file,
                                std::vector<std::pair<std::string, std::int32_t>> special_tokens,
                                const std::string& source);

    ~Tokenizer();
    Tokenizer(Tokenizer&&) noexcept;
    Tokenizer& operator=(Tokenizer&&) noexcept;

    // Ids of text in which nothing is special: user text never yields a special token. Any bytes
    // are accepted (invalid UTF-8 is encoded byte by byte and comes back unchanged).
    std::vector<std::int32_t> encode(std::string_view text) const;

    // Ids of text in which special tokens' spellings become their ids.
    std::vector<std::int32_t> encode_with_special(std::string_view text) const;

    // Bytes of ids, concatenated; a special token gives its spelling. Throws Error for an id out of
    // range.
    std::string decode(std::span<const std::int32_t> ids) const;

    // The bytes of one id (empty for a gap in the ranks); precondition: 0 <= id < vocab_size().
    std::string_view token_bytes(std::int32_t id) const noexcept;

    // Id of a special token by its spelling.
    std::optional<std::int32_t> special_id(std::string_view text) const noexcept;
    bool is_special(std::int32_t id) const noexcept;

    // One past the largest id.
    std::int32_t vocab_size() const noexcept;

  private:
    struct State;
    explicit Tokenizer(std::unique_ptr<State> state) noexcept;
    std::unique_ptr<State> state_;
};

}  // namespace baltoro
