#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace baltoro {

// Which tokens of a vocabulary may be drawn next, a bit for each. Plain data that is filled again
// for every token; allocates at construction only. One owner, one thread.
class TokenMask {
  public:
    // Allows nothing.
    explicit TokenMask(std::size_t vocab_size)
        : size_(vocab_size), words_((vocab_size + kBits - 1) / kBits, 0) {}

    std::size_t vocab_size() const noexcept { return size_; }

    void allow_all() noexcept {
        std::fill(words_.begin(), words_.end(), ~std::uint64_t{0});
        if (size_ % kBits != 0) words_.back() = (std::uint64_t{1} << size_ % kBits) - 1;
    }
    void allow_none() noexcept { std::fill(words_.begin(), words_.end(), 0); }

    // Precondition of these: 0 <= id < vocab_size().
    void allow(std::int32_t id) noexcept { words_[word_of(id)] |= bit_of(id); }
    void ban(std::int32_t id) noexcept { words_[word_of(id)] &= ~bit_of(id); }
    bool allows(std::int32_t id) const noexcept { return (words_[word_of(id)] & bit_of(id)) != 0; }

    void ban(std::span<const std::int32_t> ids) noexcept {
        for (const std::int32_t id : ids)
            ban(id);
    }

    std::size_t n_allowed() const noexcept {
        std::size_t n = 0;
        for (const std::uint64_t word : words_)
            n += static_cast<std::size_t>(std::popcount(word));
        return n;
    }

    // Token i is bit i % 64 of word i / 64; the bits past the vocabulary are 0 and stay so.
    std::span<const std::uint64_t> words() const noexcept { return words_; }
    std::span<std::uint64_t> words() noexcept { return words_; }

  private:
    static constexpr std::size_t kBits = 64;
    static std::size_t word_of(std::int32_t id) noexcept {
        return static_cast<std::size_t>(id) / kBits;
    }
    static std::uint64_t bit_of(std::int32_t id) noexcept {
        return std::uint64_t{1} << (static_cast<std::size_t>(id) % kBits);
    }

    std::size_t size_;
    std::vector<std::uint64_t> words_;
};

}  // namespace baltoro
