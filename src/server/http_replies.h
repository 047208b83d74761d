#pragma once

#include <string>
#include <string_view>

#include "server/api_errors.h"
#include "server/http_types.h"

namespace baltoro::server {

HttpReply json_reply(int status, std::string body);

// An error in the shape of the API that `path` belongs to: Anthropic's under /v1/messages, with
// `request_id` in the body and as a header, otherwise OpenAI's. Carries retry-after if the error
// has one.
HttpReply error_reply(std::string_view path, const std::string& request_id, const ApiError& error);
HttpReply error_reply(const HttpRequest& request, const ApiError& error);

// 405 with `Allow`, for a known path and another method, OPTIONS included; `allowed` is a list such
// as "GET, HEAD".
HttpReply method_not_allowed(const HttpRequest& request, std::string allowed);

// 404 for a path that no route has.
HttpReply unknown_url(const HttpRequest& request);

}  // namespace baltoro::server
