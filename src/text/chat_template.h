#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "text/tokenizer.h"

namespace baltoro {

// The chat formats of the family: K2-Instruct (revision fd1984e2), K2-Thinking, K2.5, and Moonlight
// (Instruct's envelope with another default system prompt).
enum class ChatFormat { k2_instruct, k2_thinking, k2_5, moonlight };

// Chosen from config.json and the checkpoint's own template text (chat_template.jinja or
// tokenizer_config.json); unknown checkpoints of the family get k2_instruct. Throws Error only for
// files that cannot be parsed.
ChatFormat chat_format_of(const std::string& directory);

// A stretch of a rendered prompt: markers of the template, or text of the conversation. Only
// markers may become special tokens.
struct PromptPiece {
    std::string text;
    bool is_marker = false;
};

struct ChatOptions {
    bool add_generation_prompt = true;
    bool thinking = true;  // K2.5's `thinking` variable
};

// Renders messages (an OpenAI-style JSON array) and tools (JSON array text, or empty) exactly as
// the checkpoint's reference does: tools' keys sorted recursively and printed compactly; content as
// string, list of parts or null. Throws Error for JSON that is no such array.
std::vector<PromptPiece> render_chat(ChatFormat format,
                                     const std::string& messages_json,
                                     const std::string& tools_json,
                                     const ChatOptions& options = {});

// The pieces' text, concatenated.
std::string prompt_text(const std::vector<PromptPiece>& pieces);

// Ids: markers with special tokens, conversation text without, adjacent plain text encoded
// together.
std::vector<std::int32_t> encode_prompt(const Tokenizer& tokenizer,
                                        const std::vector<PromptPiece>& pieces);

}  // namespace baltoro
