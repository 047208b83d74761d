#pragma once

// The inside of ApiService, shared by the files that implement its routes.

#include <optional>
#include <string>
#include <string_view>

#include "server/api_service.h"
#include "server/http_types.h"

namespace baltoro::server {

struct ApiService::Exchange {
    HttpRequest& request;
    ResponseWriter& response;
    Family family = Family::openai;
    std::string_view path_end{};  // what follows a route that ends in '/'
    int status = 200;
    bool is_stream = false;
    std::optional<AnswerTally> tally{};
};

struct ApiService::Route {
    const char* method;
    std::string_view path;  // one that ends in "/*" stands for everything below
    boost::asio::awaitable<void> (ApiService::*answer)(Exchange&);
    Family family = Family::openai;
};

// "error" replies and small documents share these headers.
HttpHeaders reply_headers(const HttpRequest& request);

}  // namespace baltoro::server
