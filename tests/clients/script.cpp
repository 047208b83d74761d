#include "tests/clients/script.h"

#include <algorithm>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/error.h"

namespace baltoro::testing {
namespace {

constexpr int kLongestToken_ms = 10'000;
constexpr int kMostLetters = 10'000;

const ScriptRule kDefaultRule{"", "There is no line for this in the script."};

int count_of(const nlohmann::json& value, int most) {
    const auto count = value.get<std::int64_t>();
    if (count < 0 || count > most) throw Error(fmt::format("{} is not in 0 to {}", count, most));
    return static_cast<int>(count);
}

ScriptRule rule_of(const nlohmann::json& entry) {
    ScriptRule rule;
    for (const auto& [key, value] : entry.items()) {
        if (key == "when")
            rule.when = value.get<std::string>();
        else if (key == "answer")
            rule.answer = value.get<std::string>();
        else if (key == "ms_per_token")
            rule.ms_per_token = count_of(value, kLongestToken_ms);
        else if (key == "ms_per_prompt_token")
            rule.ms_per_prompt_token = count_of(value, kLongestToken_ms);
        else if (key == "n_random_letters")
            rule.n_random_letters = count_of(value, kMostLetters);
        else
            throw Error("unknown key " + key);
    }
    if (rule.answer.empty() == (rule.n_random_letters == 0))
        throw Error("expected either answer or n_random_letters");
    return rule;
}

}  // namespace

Script Script::parse(const std::string& json_text, const std::string& source) {
    const nlohmann::json rules = nlohmann::json::parse(json_text, nullptr, false);
    if (!rules.is_array()) throw Error(source + ": expected a JSON array of rules");
    Script script;
    for (const nlohmann::json& entry : rules) {
        const std::string place = fmt::format("{}: rule {}", source, script.rules_.size());
        if (!entry.is_object()) throw Error(place + ": expected an object");
        try {
            script.rules_.push_back(rule_of(entry));
        } catch (const nlohmann::json::exception&) {
            throw Error(place + ": a value has the wrong type");
        } catch (const Error& error) {
            throw Error(place + ": " + error.what());
        }
    }
    return script;
}

const ScriptRule& Script::rule_for(std::string_view heard) const noexcept {
    const auto found = std::find_if(rules_.rbegin(), rules_.rend(), [heard](const ScriptRule& r) {
        return heard.find(r.when) != std::string_view::npos;
    });
    return found == rules_.rend() ? kDefaultRule : *found;
}

// Going on after a longest end makes the next longest end longer by what was said, so this ends.
std::string_view rest_of_answer(std::string_view answer, std::string_view written) noexcept {
    if (answer.starts_with(written)) return answer.substr(written.size());
    for (std::size_t n = std::min(answer.size(), written.size()); n > 0; n--) {
        const std::size_t found = answer.find(written.substr(written.size() - n));
        if (found != std::string_view::npos) return answer.substr(found + n);
    }
    return answer;
}

std::string_view rest_of_text(std::string_view answer, std::string_view text) noexcept {
    std::size_t n = std::min(answer.size(), text.size());
    while (n > 0 && !text.ends_with(answer.substr(0, n)))
        n--;
    return answer.substr(n);
}

}  // namespace baltoro::testing
