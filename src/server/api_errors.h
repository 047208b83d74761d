#pragma once

#include <string>

namespace baltoro::server {

// Refuses a request: 400 with a parameter's name unless said otherwise. Each dialect gives it its
// own shape.
struct ApiError {
    int status = 400;
    std::string type = "invalid_request_error";
    std::string code;     // may be empty
    std::string param;    // may be empty
    std::string message;  // never echoes the request's text
    int retry_after_s = 0;
};

// The prompt does not fit. `message` is the wording that agents recognise and answer by compacting
// their conversation: OpenAI's, and for Anthropic clients its own.
ApiError context_overflow(int context_size, int prompt_tokens);
std::string anthropic_overflow_message(int context_size, int prompt_tokens);

// An OpenAI error body: {"error": {message, type, param, code}}.
std::string openai_error_body(const ApiError& error);

// An Anthropic error body: {"type": "error", "error": {type, message}, "request_id"}; the type
// follows from the status.
std::string anthropic_error_body(const ApiError& error, const std::string& request_id);

}  // namespace baltoro::server
