#pragma once

#include <string>

#include "server/json_fields.h"

namespace baltoro::server {

// The items of a response's `input` as messages of a chat template. Calls and thoughts that follow
// each other belong to one assistant message, as the model wrote them. Functions throw
// RequestError.
class ResponseItems {
  public:
    // Thoughts are kept for models that have them.
    explicit ResponseItems(bool keeps_reasoning) : keeps_reasoning_(keeps_reasoning) {}

    void add_text(const char* role, const std::string& text) {
        messages_.push_back({{"role", role}, {"content", text}});
    }
    void add(const Fields& item);

    int n_calls() const noexcept { return n_calls_; }
    bool is_empty() const noexcept { return messages_.empty(); }
    std::string text() const { return json_text(messages_); }

  private:
    void add_message(const Fields& item);
    void add_reasoning(const std::string& text);
    Json& assistant();

    bool keeps_reasoning_;
    int n_calls_ = 0;
    Json messages_ = Json::array();
};

}  // namespace baltoro::server
