#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace baltoro {

// How often each token occurs in an answer, and which occur in its prompt. Forgetting costs as
// much as what was seen, not the vocabulary. Allocates at construction only.
class SeenTokens {
  public:
    explicit SeenTokens(std::size_t vocab_size) : seen_(vocab_size, 0) { ids_.reserve(vocab_size); }

    void forget_all() noexcept {
        for (const std::int32_t id : ids_)
            seen_[static_cast<std::size_t>(id)] = 0;
        ids_.clear();
    }

    // Precondition of these: 0 <= id < vocab_size.
    void note_in_prompt(std::int32_t id) noexcept { mark(id); }
    void note_in_answer(std::int32_t id) noexcept { mark(id)++; }
    std::uint32_t n_in_answer(std::int32_t id) const noexcept {
        return seen_[static_cast<std::size_t>(id)] & ~kIsSeen;
    }

    // Every id that occurs, once, in order of appearance.
    std::span<const std::int32_t> ids() const noexcept { return ids_; }

  private:
    static constexpr std::uint32_t kIsSeen = 1u << 31;

    std::uint32_t& mark(std::int32_t id) noexcept {
        std::uint32_t& seen = seen_[static_cast<std::size_t>(id)];
        if (seen == 0) ids_.push_back(id);  // within the reserved capacity
        seen |= kIsSeen;
        return seen;
    }

    std::vector<std::uint32_t> seen_;  // the highest bit and the number in the answer
    std::vector<std::int32_t> ids_;
};

}  // namespace baltoro
