#include "tests/server/http_test_server.h"

#include <memory>
#include <stdexcept>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "server/http_replies.h"

namespace baltoro::server {
namespace {

namespace asio = boost::asio;

constexpr auto kAsTuple = asio::as_tuple(asio::use_awaitable);
constexpr std::chrono::milliseconds kShort{150};

// Counts what runs, however it ends.
class Running {
  public:
    explicit Running(std::atomic<int>& n) : n_(n) { ++n_; }
    ~Running() { --n_; }
    Running(const Running&) = delete;
    Running& operator=(const Running&) = delete;

  private:
    std::atomic<int>& n_;
};

asio::awaitable<void> stream(ResponseWriter& writer) {
    HttpHeaders headers;
    headers.push_back({"Cache-Control", "no-cache"});
    co_await writer.begin_stream("text/event-stream", headers);
    co_await writer.write("data: 1\n\n");
    co_await writer.write("");
    co_await writer.write("data: 2\n\n");
    co_await writer.write("data: [DONE]\n\n");
    co_await writer.end();
}

}  // namespace

HttpServerOptions TestServer::short_times() {
    HttpServerOptions options;
    options.limits.head_time = kShort;
    options.limits.body_time = kShort;
    options.limits.write_time = kShort;
    options.limits.linger_time = kShort;
    options.limits.idle_time = std::chrono::seconds(10);
    return options;
}

TestServer::TestServer(HttpServerOptions options)
    : server_(std::move(options), [this](HttpRequest& request, ResponseWriter& writer) {
          return answer(request, writer);
      }) {
    server_.start();
}

asio::awaitable<void> TestServer::answer(HttpRequest& request, ResponseWriter& writer) {
    ++n_calls;
    const Running running(n_running);
    if (request.path == "/stream") co_return co_await stream(writer);
    if (request.path == "/flood") co_return co_await flood(writer);
    if (request.path == "/silent") co_await wait_for_client_to_go(writer);
    if (request.path == "/sleepy") {
        asio::steady_timer timer(writer.executor(), std::chrono::milliseconds(200));
        co_await timer.async_wait(kAsTuple);
        co_return co_await writer.send(json_reply(200, "awake"));
    }
    if (request.path == "/options") {
        co_return co_await writer.send(method_not_allowed(request, "GET, HEAD"));
    }
    co_await go_wrong(request.path, writer);
    if (writer.has_begun() || request.path == "/nothing") co_return;
    const std::string query = request.query.empty() ? "" : "?" + request.query;
    co_await writer.send(
        json_reply(200, request.method + " " + request.path + query + " " + request.body));
}

asio::awaitable<void> TestServer::wait_for_client_to_go(ResponseWriter& writer) {
    asio::steady_timer timer(writer.executor(), std::chrono::seconds(60));
    writer.on_disconnect([&] {
        ++n_disconnected;
        timer.cancel();
    });
    co_await timer.async_wait(kAsTuple);
}

asio::awaitable<void> TestServer::flood(ResponseWriter& writer) {
    try {
        co_await writer.begin_stream("text/event-stream");
        while (true)
            co_await writer.write(std::string(64 << 10, 'x'));
    } catch (const ClientGone&) {
        ++n_gone;
        throw;
    }
}

asio::awaitable<void> TestServer::go_wrong(const std::string& path, ResponseWriter& writer) {
    if (path == "/throw") throw std::runtime_error("secret canary");
    if (path == "/throw-late") {
        co_await writer.begin_stream("text/event-stream");
        co_await writer.write("data: 1\n\n");
        throw std::runtime_error("secret canary");
    }
    if (path == "/bad-header") {
        HttpReply reply = json_reply(200, "x");
        reply.headers.push_back({"X-Text", "a\r\nX-Injected: b"});
        co_await writer.send(reply);
    }
}

}  // namespace baltoro::server
