#pragma once

#include <memory>
#include <string_view>
#include <vector>

namespace baltoro {

// Cuts text into the pieces inside which bytes are merged, by Kimi's splitting pattern. Immutable;
// any thread.
class Pretokenizer {
  public:
    Pretokenizer();
    ~Pretokenizer();
    Pretokenizer(Pretokenizer&&) noexcept;
    Pretokenizer& operator=(Pretokenizer&&) noexcept;

    // Appends the pieces of `text`, views into it that cover it. Precondition: text is valid UTF-8.
    void split(std::string_view text, std::vector<std::string_view>& pieces) const;

  private:
    struct Pattern;
    std::unique_ptr<const Pattern> pattern_;
};

}  // namespace baltoro
