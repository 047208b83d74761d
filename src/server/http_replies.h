#pragma once

#include <string>
#include <string_view>

#include "server/api_errors.h"
#include "server/http_types.h"

namespace baltoro::server {

HttpReply json_reply(int status, std::string body);

// The request's id under the names that both families' clients look for.
HttpHeaders id_headers(const HttpRequest& request);

// Whether a path belongs to Anthropic's API: the ones under /v1/messages.
bool is_anthropic_path(std::string_view path) noexcept;

// An error in the shape of the API that `path` belongs to, with `request_id` as headers and, in
// Anthropic's, in the body. Carries retry-after if the error has one.
HttpReply error_reply(std::string_view path, const std::string& request_id, const ApiError& error);
HttpReply error_reply(const HttpRequest& request, const ApiError& error);

// 405 with `Allow`, for a known path and another method, OPTIONS included; `allowed` is a list such
// as "GET, HEAD".
HttpReply method_not_allowed(const HttpRequest& request, std::string allowed);

// 404 for a path that no route has.
HttpReply unknown_url(const HttpRequest& request);

}  // namespace baltoro::server
