#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>

#include <boost/asio/awaitable.hpp>

#include "server/http_connection.h"
#include "server/http_types.h"

namespace baltoro::server {

// Sends one reply, whole or as a stream; lives as long as the request is handled. Used by the
// handler's coroutine only, in the connection's strand. What sends throws ClientGone when the
// client has closed the connection or takes nothing for the write time-out, and Error when the
// handler's header would break the reply apart.
class ResponseWriter {
  public:
    // `closing` is true once the server takes no more requests.
    ResponseWriter(HttpConnection& connection,
                   const HttpRequest& request,
                   bool keep_alive,
                   const std::atomic<bool>& closing) noexcept;

    boost::asio::awaitable<void> send(HttpReply reply);

    // A reply whose length is not known: chunks, or for HTTP/1.0 all bytes until the close.
    boost::asio::awaitable<void> begin_stream(std::string content_type, HttpHeaders headers = {});
    // Returns when the kernel has taken the bytes, so a slow client slows the handler down.
    // Precondition: between begin_stream() and end().
    boost::asio::awaitable<void> write(std::string bytes);
    boost::asio::awaitable<void> end();

    // `callback` is called once, in the connection's strand, when the client goes away or the
    // server stops, also while the handler waits for something else; at once if it has happened.
    // It is forgotten when the handler returns.
    void on_disconnect(std::function<void()> callback);
    // Any thread.
    bool is_disconnected() const noexcept { return connection_.is_disconnected(); }

    boost::asio::any_io_executor executor() { return connection_.executor(); }

    bool has_begun() const noexcept { return state_ != State::fresh; }
    bool has_ended() const noexcept { return state_ == State::ended; }
    // Whether another request may follow on the connection; once the reply has begun.
    bool keeps_connection() const noexcept { return keep_alive_; }

  private:
    enum class State : std::uint8_t { fresh, streaming, ended };

    std::string head(int status, const std::string& content_type, const HttpHeaders& headers);

    HttpConnection& connection_;
    const HttpRequest& request_;
    bool keep_alive_;
    const std::atomic<bool>& closing_;
    State state_ = State::fresh;
};

// Makes the reply to a request. A request object stays valid until the coroutine ends. After an
// exception the client gets a 500 without its text, or the end of the connection if the reply has
// begun. When the client has gone the handler is to end soon.
using HttpHandler = std::function<boost::asio::awaitable<void>(HttpRequest&, ResponseWriter&)>;

}  // namespace baltoro::server
