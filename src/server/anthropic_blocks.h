#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "server/json_fields.h"

namespace baltoro::server {

// Turns Anthropic's messages into the messages of a chat template: blocks become content, tool
// calls and tool messages in the order in which they stand. Functions throw RequestError.
class MessageList {
  public:
    // Thoughts are kept for models that have them.
    explicit MessageList(bool keeps_reasoning) : keeps_reasoning_(keeps_reasoning) {}

    // The request's own `system`: a string or text blocks, joined by line ends since each is a text
    // of its own. Of system texts, here and in messages, a first line that begins with
    // "x-anthropic-billing-header" is left out: what it says changes from request to request, which
    // would cost the prefix cache every match.
    void add_system(const Field& system);

    // A message of which nothing is left is left out.
    void add(const Fields& message);

    int n_calls() const noexcept { return n_calls_; }
    std::size_t size() const noexcept { return messages_.size(); }
    // An assistant's last message is the beginning of the answer.
    bool ends_with_assistant_text() const;
    std::string text() const { return json_text(messages_); }

  private:
    void add_text(const std::string& role, std::string text);
    void add_assistant(const std::vector<Field>& blocks);
    void add_blocks(const std::string& role, const std::vector<Field>& blocks);
    void add_assistant_block(const Fields& block, const std::string& type, Json& message);
    void add_tool_result(const Fields& block);
    void flush(const std::string& role, std::string& content);

    bool keeps_reasoning_;
    int n_calls_ = 0;
    Json messages_ = Json::array();
};

}  // namespace baltoro::server
