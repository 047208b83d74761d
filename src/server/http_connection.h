#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core/flat_buffer.hpp>

#include "base/error.h"
#include "server/http_limits.h"

namespace baltoro::server {

// The client has closed the connection, has taken nothing for too long, or the server stops.
class ClientGone : public Error {
  public:
    using Error::Error;
};

// A connected socket with time-outs, the bytes read ahead, and the news that the client has gone.
// Shared by the coroutine that serves it and by the server, which may end it. Everything runs in
// the socket's strand unless said otherwise.
class HttpConnection : public std::enable_shared_from_this<HttpConnection> {
  public:
    using Socket = boost::asio::generic::stream_protocol::socket;
    using Clock = std::chrono::steady_clock;
    enum class Read : std::uint8_t { data, end, timed_out, failed };

    // The socket's executor is a strand; `limits` outlives the connection.
    HttpConnection(Socket socket, const HttpLimits& limits);

    boost::asio::any_io_executor executor() { return socket_.get_executor(); }

    // What has been read and not yet used; read() appends to it.
    boost::beast::flat_buffer& buffer() noexcept { return buffer_; }
    std::string_view unread() const noexcept;
    boost::asio::awaitable<Read> read(std::size_t at_most, Clock::time_point deadline);

    // Returns when the kernel has all of `bytes`; throws ClientGone.
    boost::asio::awaitable<void> write(std::string_view bytes);

    // Ends the sending side and reads on for a moment, so that the client gets to read a reply that
    // came before the end of its request. Then closes.
    boost::asio::awaitable<void> close_after_reading();
    void close() noexcept;

    // While a reply is being made: looks out for the client's going away. Nothing is read, so
    // whatever the client sends meanwhile waits in the kernel.
    void watch_peer();
    void stop_watching();
    // Called once when the client goes away or the server stops; at once if it has happened.
    void on_disconnect(std::function<void()> callback);
    // Any thread.
    bool is_disconnected() const noexcept { return gone_.load(std::memory_order_relaxed); }

    // Waiting for a request of which nothing has come.
    void set_idle(bool idle) noexcept { idle_ = idle; }

    // Any thread: closes the connection if it is idle when its turn comes.
    void close_if_idle();
    // Any thread: the client counts as gone and the socket is closed.
    void abort();

  private:
    void arm(Clock::time_point deadline);
    void disarm();
    void look_at_peer(std::uint64_t watch);
    void mark_gone();

    Socket socket_;
    const HttpLimits& limits_;
    boost::beast::flat_buffer buffer_;
    boost::asio::steady_timer deadline_timer_;
    boost::asio::steady_timer watch_timer_;
    Clock::time_point deadline_ = Clock::time_point::max();
    bool timed_out_ = false;
    bool idle_ = false;
    std::uint64_t watch_ = 0;  // number of the current watch, so that late news of others is told
    std::function<void()> on_disconnect_;
    std::atomic<bool> gone_ = false;
};

}  // namespace baltoro::server
