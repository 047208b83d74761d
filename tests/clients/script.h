#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace baltoro::testing {

// What a scripted model says when its conversation contains a text.
struct ScriptRule {
    std::string when;             // empty: always
    std::string answer;           // spellings of special tokens stand for them
    int ms_per_token = 0;         // how long each token of it takes
    int ms_per_prompt_token = 0;  // once the prompt's part so far contains `when`
    int n_random_letters = 0;     // instead of `answer`: as many of a to z, all equally likely
};

// The lines of a scripted model. Immutable; any thread.
class Script {
  public:
    // A JSON array of {"when", "answer", "ms_per_token", "ms_per_prompt_token",
    // "n_random_letters"}. Throws Error naming `source` for anything else.
    static Script parse(const std::string& json_text, const std::string& source);

    // The last rule whose `when` occurs in what was said since the model's last turn; a default if
    // there is none.
    const ScriptRule& rule_for(std::string_view heard) const noexcept;

  private:
    std::vector<ScriptRule> rules_;
};

// What is left to say of `answer` when `written` stands already. Where something else than the
// answer was written (forced tokens), it goes on after the longest end of it that occurs in the
// answer.
std::string_view rest_of_answer(std::string_view answer, std::string_view written) noexcept;

// The same where prompt and answer are one text: `text` ends with the longest beginning of the
// answer that it can end with.
std::string_view rest_of_text(std::string_view answer, std::string_view text) noexcept;

}  // namespace baltoro::testing
