#pragma once

// The inside of ApiService, shared by the files that implement its routes.

#include <chrono>
#include <cstdint>
#include <optional>
#include <string_view>

#include "server/api_service.h"
#include "server/http_replies.h"
#include "server/http_types.h"

namespace baltoro::server {

struct ApiService::Exchange {
    HttpRequest& request;
    ResponseWriter& response;
    std::chrono::steady_clock::time_point begin = std::chrono::steady_clock::now();
    int status = 200;
    bool is_stream = false;
    std::optional<AnswerTally> tally{};
};

struct ApiService::Route {
    const char* method;
    std::string_view path;  // one that ends in "/*" stands for everything below
    boost::asio::awaitable<void> (ApiService::*answer)(Exchange&);
};

std::int64_t unix_time_s();

}  // namespace baltoro::server
