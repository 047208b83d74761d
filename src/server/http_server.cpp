#include "server/http_server.h"

#include <algorithm>
#include <random>
#include <utility>

#include <fmt/format.h>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "base/check.h"
#include "base/log.h"

namespace baltoro::server {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;
using Tcp = asio::ip::tcp;
using Local = asio::local::stream_protocol;

constexpr auto kAsTuple = asio::as_tuple(asio::use_awaitable);

// After a failed accept, which mostly means that no file descriptor is free.
constexpr std::chrono::milliseconds kAcceptPause{100};

// An IPv4 client of a socket for both families is shown as an IPv4 client.
asio::ip::address plain(const asio::ip::address& address) {
    if (!address.is_v6() || !address.to_v6().is_v4_mapped()) return address;
    return asio::ip::make_address_v4(asio::ip::v4_mapped, address.to_v6());
}

ConnectionEnds ends_of(const Tcp::socket& socket) {
    error_code error;  // the client may be gone already
    ConnectionEnds ends;
    const Tcp::endpoint near = socket.local_endpoint(error);
    const Tcp::endpoint far = socket.remote_endpoint(error);
    ends.local_host = plain(near.address()).to_string();
    ends.peer = fmt::format("{}:{}", plain(far.address()).to_string(), far.port());
    return ends;
}

ConnectionEnds ends_of(const Local::socket&) {
    ConnectionEnds ends;
    ends.peer = "unix";
    ends.over_unix = true;
    return ends;
}

// Small events are to leave at once.
void set_options(Tcp::socket& socket) {
    error_code ignored;
    socket.set_option(Tcp::no_delay(true), ignored);
}

void set_options(Local::socket&) {}

template <typename Socket>
void open_session(HttpService& service, Socket socket) {
    set_options(socket);
    ConnectionEnds ends = ends_of(socket);
    auto connection = std::make_shared<HttpConnection>(std::move(socket), service.limits);
    const ConnectionTable::Admission admission = service.connections.admit(connection);
    if (admission == ConnectionTable::Admission::overrun) return;  // closes it
    const bool full = admission == ConnectionTable::Admission::full;
    asio::co_spawn(connection->executor(), run_session(connection, std::move(ends), service, full),
                   asio::detached);
    // The server may have told all connections to end just before this one came.
    if (service.closing) connection->close_if_idle();
}

template <typename Acceptor>
asio::awaitable<void> accept_from(Acceptor& acceptor, HttpService& service) {
    const auto executor = co_await asio::this_coro::executor;
    auto& io = static_cast<asio::io_context&>(executor.context());
    bool failed = false;
    while (acceptor.is_open()) {
        const asio::any_io_executor strand = asio::make_strand(io);
        auto [error, socket] = co_await acceptor.async_accept(strand, kAsTuple);
        if (!acceptor.is_open()) co_return;
        if (!error) {
            failed = false;
            open_session(service, std::move(socket));
            continue;
        }
        if (!std::exchange(failed, true)) {
            log_warning(fmt::format("accepting a connection: {}", error.message()));
        }
        asio::steady_timer pause(executor, kAcceptPause);
        co_await pause.async_wait(kAsTuple);
    }
}

template <typename Acceptor>
void close_in_strand(std::optional<Acceptor>& acceptor) {
    if (!acceptor) return;
    asio::post(acceptor->get_executor(), [&acceptor] {
        error_code ignored;
        acceptor->close(ignored);
    });
}

}  // namespace

HttpServer::HttpServer(HttpServerOptions options, HttpHandler handler)
    : options_(std::move(options)),
      service_(options_.limits, AccessRules(options_.access), std::move(handler)) {
    std::random_device entropy;
    service_.id_seed = (std::uint64_t{entropy()} << 32) | entropy();
}

HttpServer::~HttpServer() {
    stop();
}

void HttpServer::start() {
    check(!io_ && !service_.closing, "a server is started once");
    auto io = std::make_unique<asio::io_context>(options_.n_threads);
    if (!options_.host.empty()) {
        tcp_.emplace(listen_on_tcp(asio::make_strand(*io), options_.host, options_.port));
        port_ = tcp_->local_endpoint().port();
    }
    if (!options_.unix_socket.empty()) {
        unix_.emplace(listen_on_unix(asio::make_strand(*io), options_.unix_socket));
        socket_file_ = SocketFile(options_.unix_socket);
    }
    service_.access.listen_on(options_.host, port_);
    io_ = std::move(io);
    if (tcp_) {
        asio::co_spawn(tcp_->get_executor(), accept_from(*tcp_, service_), asio::detached);
    }
    if (unix_) {
        asio::co_spawn(unix_->get_executor(), accept_from(*unix_, service_), asio::detached);
    }
    for (int i = 0; i < std::max(options_.n_threads, 1); ++i) {
        threads_.emplace_back([this] { io_->run(); });
    }
}

void HttpServer::stop_accepting() {
    service_.closing = true;
    close_in_strand(tcp_);
    close_in_strand(unix_);
    socket_file_ = SocketFile();
}

void HttpServer::drain(std::chrono::milliseconds timeout) {
    if (!io_) return;
    stop_accepting();
    service_.connections.close_idle();
    service_.connections.wait_until_empty(HttpConnection::Clock::now() + timeout);
    stop();
}

void HttpServer::stop() {
    if (!io_) return;
    stop_accepting();
    service_.connections.abort_all();
    service_.connections.wait_until_empty(HttpConnection::Clock::now() + service_.limits.stop_time);
    io_->stop();
    for (std::thread& thread : threads_)
        thread.join();
    threads_.clear();
    tcp_.reset();
    unix_.reset();
    io_.reset();
}

}  // namespace baltoro::server
