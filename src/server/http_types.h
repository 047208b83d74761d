#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "server/body_budget.h"

namespace baltoro::server {

struct HttpHeader {
    std::string name;
    std::string value;
};
using HttpHeaders = std::vector<HttpHeader>;

// Compares names of headers, hosts and schemes: ASCII letters in either case are equal, whatever
// the locale.
bool equal_ignoring_case(std::string_view a, std::string_view b) noexcept;

// A request that has passed the limits and the rules of access. All text is the client's and may
// hold any byte from 0x80 on; only `path` and `query` are printable ASCII. Percent escapes are not
// decoded: routes and rules compare the same bytes.
struct HttpRequest {
    std::string id;      // "req_" and 24 hexadecimal digits, unlike that of any other request
    std::string method;  // as sent: "GET"
    std::string path;    // starts with '/', or is "*"
    std::string query;   // after '?', which is not part of it
    HttpHeaders headers;
    std::string body;
    BodyShare body_share;   // for the memory of `body`
    bool has_body = false;  // a body was announced, perhaps an empty one in chunks
    bool is_http_10 = false;
    bool over_unix = false;
    std::string peer;        // "127.0.0.1:51512" or "unix", for logs
    std::string local_host;  // the address that the client connected to; empty over a unix socket

    // Value of the first header of that name, in any case; empty if there is none.
    std::string_view header(std::string_view name) const noexcept;
    std::size_t n_headers(std::string_view name) const noexcept;

    // Frees the body's memory for other requests, once what it says is known.
    void drop_body() noexcept;
};

struct HttpReply {
    int status = 200;
    std::string content_type = "application/json";  // empty: none is sent
    HttpHeaders headers;                            // beside those about length and connection
    std::string body;
};

}  // namespace baltoro::server
