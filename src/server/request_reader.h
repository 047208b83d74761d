#pragma once

#include <cstdint>
#include <string_view>

#include <boost/asio/awaitable.hpp>
#include <boost/beast/http/buffer_body.hpp>
#include <boost/beast/http/parser.hpp>

#include "server/api_errors.h"
#include "server/http_connection.h"
#include "server/http_limits.h"
#include "server/http_types.h"

namespace baltoro::server {

class RequestHead;

// Reads one request from a connection within the limits: RequestHead judges its head, Beast's
// parser takes head and body apart. One object per request, used by the session's coroutine.
class RequestReader {
  public:
    enum class Step : std::uint8_t { done, closed, refused };

    // All outlive the reader; `request` is filled in.
    RequestReader(HttpConnection& connection, const HttpLimits& limits, HttpRequest& request);

    // Fills everything but the body. What of the request's head was valid is filled in when it is
    // refused, too.
    boost::asio::awaitable<Step> read_head();
    // Also answers `Expect: 100-continue`. Precondition: read_head() is done.
    boost::asio::awaitable<Step> read_body();

    // Why the request is refused.
    const ApiError& error() const noexcept { return error_; }
    // Whether the client means to send another request. Precondition: read_head() is done.
    bool keeps_alive() const { return parser_.keep_alive(); }

  private:
    Step parse_head(const RequestHead& head);
    void fill_request();
    // When the client has to have sent the next bytes of the body.
    HttpConnection::Clock::time_point body_deadline() const;
    boost::asio::awaitable<Step> read_more_of_body();
    Step decode_body();
    std::size_t body_room(std::size_t needed) const;
    Step append_to_body(std::string_view piece);
    Step refuse_for_lack_of_memory();
    Step refuse(int status, const char* message);
    Step refuse(const ApiError& error);

    HttpConnection& connection_;
    const HttpLimits& limits_;
    HttpRequest& request_;
    boost::beast::http::request_parser<boost::beast::http::buffer_body> parser_;
    HttpConnection::Clock::time_point body_begin_;
    ApiError error_;
};

}  // namespace baltoro::server
