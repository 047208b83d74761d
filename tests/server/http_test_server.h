#pragma once

#include <atomic>
#include <string>

#include "server/http_server.h"

namespace baltoro::server {

// A server whose handler answers by path:
//   /silent  waits until the client has gone, then replies
//   /sleepy  replies "awake" after 200 ms
//   /stream  three events; /flood  writes until the client has gone or takes nothing
//   /throw /throw-late /nothing /bad-header  go wrong
//   others   "METHOD PATH?QUERY BODY"
class TestServer {
  public:
    explicit TestServer(HttpServerOptions options = short_times());

    // Time-outs of 150 ms, but for one of 10 s that closes idle connections.
    static HttpServerOptions short_times();

    HttpServer& server() { return server_; }
    int port() const { return server_.port(); }

    std::atomic<int> n_calls = 0;         // of the handler
    std::atomic<int> n_running = 0;       // handlers
    std::atomic<int> n_disconnected = 0;  // calls of on_disconnect
    std::atomic<int> n_gone = 0;          // ClientGone in /flood

  private:
    boost::asio::awaitable<void> answer(HttpRequest& request, ResponseWriter& writer);
    boost::asio::awaitable<void> wait_for_client_to_go(ResponseWriter& writer);
    boost::asio::awaitable<void> flood(ResponseWriter& writer);
    boost::asio::awaitable<void> go_wrong(const std::string& path, ResponseWriter& writer);

    HttpServer server_;
};

}  // namespace baltoro::server
