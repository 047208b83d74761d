#include "server/api_errors.h"

#include <fmt/format.h>

#include "server/json_fields.h"

namespace baltoro::server {
namespace {

const char* anthropic_type(int status) {
    switch (status) {
        case 401:
            return "authentication_error";
        case 403:
            return "permission_error";
        case 404:
            return "not_found_error";
        case 413:
            return "request_too_large";
        case 429:
            return "rate_limit_error";
        case 503:
        case 529:
            return "overloaded_error";
        case 504:
            return "timeout_error";
        default:
            return status >= 500 ? "api_error" : "invalid_request_error";
    }
}

}  // namespace

ApiError context_overflow(int context_size, int prompt_tokens) {
    ApiError error;
    error.code = "context_length_exceeded";
    error.param = "messages";
    error.message = fmt::format(
        "This model's maximum context length is {} tokens. However, your messages resulted in {} "
        "tokens. Please reduce the length of the messages.",
        context_size, prompt_tokens);
    return error;
}

std::string anthropic_overflow_message(int context_size, int prompt_tokens) {
    return fmt::format("prompt is too long: {} tokens > {} maximum", prompt_tokens, context_size);
}

std::string openai_error_body(const ApiError& error) {
    const Json body = {{"message", error.message},
                       {"type", error.type},
                       {"param", text_or_null(error.param)},
                       {"code", text_or_null(error.code)}};
    return json_text(Json{{"error", body}});
}

std::string anthropic_error_body(const ApiError& error, const std::string& request_id) {
    const Json inner = {{"type", anthropic_type(error.status)}, {"message", error.message}};
    const Json body = {{"type", "error"}, {"error", inner}, {"request_id", request_id}};
    return json_text(body);
}

}  // namespace baltoro::server
