#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace baltoro::server {

// Codex does not send back the text of a reasoning item, only its `encrypted_content`. The model
// needs its thoughts between the tool calls of a turn, so they travel there: readable, and marked,
// since a conversation that another server began brings ciphertext in the same place.
inline constexpr std::string_view kCarriedReasoningMark = "baltoro:";

inline std::string carry_reasoning(const std::string& text) {
    return std::string(kCarriedReasoningMark) + text;
}

// The text, or none if the content is not ours.
inline std::optional<std::string> carried_reasoning(std::string_view content) {
    if (!content.starts_with(kCarriedReasoningMark)) return std::nullopt;
    return std::string(content.substr(kCarriedReasoningMark.size()));
}

}  // namespace baltoro::server
