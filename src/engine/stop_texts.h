#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace baltoro {

// Looks for the texts that end an answer while it is written. Text that may be the beginning of one
// is held back, at most as much as the longest is long. The stop text that is complete first wins,
// of several the longest, so the result does not depend on how the text is split. One owner, one
// thread.
class StopTexts {
  public:
    // Empty texts are ignored.
    explicit StopTexts(std::vector<std::string> texts);

    // The text that can be given out after `text`. When a stop text is met it is the text before
    // it; what follows is dropped.
    std::string push(std::string_view text);

    // What is held back, which no stop text follows any more.
    std::string flush();

    // The stop text that was met; empty if none was.
    const std::string& met() const noexcept { return met_; }

  private:
    const std::string* ending_at(std::size_t end) const noexcept;
    std::size_t n_held() const noexcept;

    std::vector<std::string> texts_;  // the longest first
    std::string held_;
    std::string met_;
};

}  // namespace baltoro
