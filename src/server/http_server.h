#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>

#include "server/access_rules.h"
#include "server/http_limits.h"
#include "server/http_session.h"
#include "server/listen_address.h"
#include "server/response_writer.h"

namespace baltoro::server {

struct HttpServerOptions {
    std::string host = "127.0.0.1";  // empty: no TCP
    int port = 0;                    // 0: any free one
    std::string unix_socket;         // empty: none
    int n_threads = 2;
    HttpLimits limits;
    AccessOptions access;
};

// Accepts connections and gives each request to the handler, which knows nothing of sockets. The
// public functions are for one thread, which is not one of the server's own; the handler runs in
// the server's threads and must not block them.
class HttpServer {
  public:
    HttpServer(HttpServerOptions options, HttpHandler handler);
    ~HttpServer();
    HttpServer(const HttpServer&) = delete;
    HttpServer& operator=(const HttpServer&) = delete;

    // Listens and returns; throws Error if an address cannot be listened on. Once only.
    void start();

    // The TCP port that is listened on; 0 without TCP. Valid after start().
    int port() const noexcept { return port_; }
    std::size_t n_connections() const { return service_.connections.size(); }

    // Memory taken by the bodies of requests.
    std::size_t n_body_bytes() const noexcept { return service_.bodies.n_taken(); }

    // Those that wait for a request.
    std::size_t n_idle_connections() const { return service_.connections.n_idle(); }

    // Accepts no more connections, closes idle ones, lets the requests that are under way finish
    // for at most `timeout`, then stops.
    void drain(std::chrono::milliseconds timeout);

    // Closes all connections; handlers learn it through on_disconnect and have limits.stop_time to
    // end. Coroutines that still wait then are destroyed where they stand.
    void stop();

  private:
    void stop_accepting();

    const HttpServerOptions options_;
    HttpService service_;
    int port_ = 0;
    SocketFile socket_file_;
    // Destroyed before the service, which the sessions' coroutines refer to.
    std::unique_ptr<boost::asio::io_context> io_;
    std::optional<boost::asio::ip::tcp::acceptor> tcp_;
    std::optional<boost::asio::local::stream_protocol::acceptor> unix_;
    std::vector<std::thread> threads_;
};

}  // namespace baltoro::server
