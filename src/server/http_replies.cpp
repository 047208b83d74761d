#include "server/http_replies.h"

#include <utility>

namespace baltoro::server {
namespace {

HttpHeaders id_headers_of(const std::string& request_id) {
    return {{"x-request-id", request_id}, {"request-id", request_id}};
}

}  // namespace

HttpHeaders id_headers(const HttpRequest& request) {
    return id_headers_of(request.id);
}

bool is_anthropic_path(std::string_view path) noexcept {
    return path.starts_with("/v1/messages");
}

HttpReply json_reply(int status, std::string body) {
    HttpReply reply;
    reply.status = status;
    reply.body = std::move(body);
    return reply;
}

HttpReply error_reply(std::string_view path, const std::string& request_id, const ApiError& error) {
    HttpReply reply =
        json_reply(error.status, is_anthropic_path(path) ? anthropic_error_body(error, request_id)
                                                         : openai_error_body(error));
    reply.headers = id_headers_of(request_id);
    if (error.retry_after_s > 0) {
        reply.headers.push_back({"Retry-After", std::to_string(error.retry_after_s)});
    }
    if (error.status == 401) reply.headers.push_back({"WWW-Authenticate", "Bearer"});
    return reply;
}

HttpReply error_reply(const HttpRequest& request, const ApiError& error) {
    return error_reply(request.path, request.id, error);
}

HttpReply method_not_allowed(const HttpRequest& request, std::string allowed) {
    ApiError error;
    error.status = 405;
    error.code = "method_not_allowed";
    error.message = "This path allows only " + allowed + ".";
    HttpReply reply = error_reply(request, error);
    reply.headers.push_back({"Allow", std::move(allowed)});
    return reply;
}

HttpReply unknown_url(const HttpRequest& request) {
    ApiError error;
    error.status = 404;
    error.code = "unknown_url";
    error.message = "There is nothing at this path.";
    return error_reply(request, error);
}

}  // namespace baltoro::server
