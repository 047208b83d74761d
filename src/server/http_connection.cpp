#include "server/http_connection.h"

#include <utility>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "server/peer_state.h"

namespace baltoro::server {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;

constexpr auto kAsTuple = asio::as_tuple(asio::use_awaitable);

// How often a client is looked at when its socket cannot tell of a change: it has sent FIN or more
// data. A cancelled request is to free its place within a second.
constexpr std::chrono::milliseconds kLookEvery{250};

// A reply to a request that is still being sent: what is read and thrown away at most.
constexpr std::size_t kLingerBytes = 1 << 20;

}  // namespace

HttpConnection::HttpConnection(Socket socket, const HttpLimits& limits)
    : socket_(std::move(socket)),
      limits_(limits),
      deadline_timer_(socket_.get_executor()),
      watch_timer_(socket_.get_executor()) {
    error_code ignored;
    socket_.non_blocking(true, ignored);
}

std::string_view HttpConnection::unread() const noexcept {
    const auto data = buffer_.data();
    return {static_cast<const char*>(data.data()), data.size()};
}

asio::awaitable<HttpConnection::Read> HttpConnection::read(std::size_t at_most,
                                                           Clock::time_point deadline) {
    arm(deadline);
    const auto space = buffer_.prepare(at_most);
    const auto [error, n] = co_await socket_.async_read_some(space, kAsTuple);
    buffer_.commit(n);
    disarm();
    if (!error) co_return Read::data;
    if (error == asio::error::eof) co_return Read::end;
    co_return timed_out_ ? Read::timed_out : Read::failed;
}

asio::awaitable<void> HttpConnection::write(std::string_view bytes) {
    while (!bytes.empty()) {
        error_code error;
        const std::size_t n = socket_.write_some(asio::buffer(bytes), error);
        bytes.remove_prefix(n);
        if (error == asio::error::would_block || error == asio::error::try_again) {
            arm(Clock::now() + limits_.write_time);
            std::tie(error) = co_await socket_.async_wait(Socket::wait_write, kAsTuple);
            disarm();
        }
        if (!error) continue;
        mark_gone();
        throw ClientGone("writing a reply: " + error.message());
    }
}

asio::awaitable<void> HttpConnection::close_after_reading() {
    error_code error;
    socket_.shutdown(Socket::shutdown_send, error);
    const Clock::time_point deadline = Clock::now() + limits_.linger_time;
    std::size_t n_read = 0;
    while (!error && n_read < kLingerBytes) {
        buffer_.clear();
        if (co_await read(16 << 10, deadline) != Read::data) break;
        n_read += buffer_.size();
    }
    close();
}

void HttpConnection::close() noexcept {
    error_code ignored;
    socket_.close(ignored);
}

void HttpConnection::watch_peer() {
    const std::uint64_t watch = ++watch_;
    socket_.async_wait(Socket::wait_read, [self = shared_from_this(), watch](error_code) {
        self->look_at_peer(watch);
    });
}

void HttpConnection::look_at_peer(std::uint64_t watch) {
    if (watch != watch_ || !socket_.is_open()) return;
    if (peer_state(socket_.native_handle()) == PeerState::gone) {
        mark_gone();
        return;
    }
    watch_timer_.expires_after(kLookEvery);
    watch_timer_.async_wait([self = shared_from_this(), watch](error_code error) {
        if (!error) self->look_at_peer(watch);
    });
}

void HttpConnection::stop_watching() {
    ++watch_;
    on_disconnect_ = nullptr;
    watch_timer_.cancel();
    error_code ignored;
    socket_.cancel(ignored);  // nothing but the watch waits on the socket
}

void HttpConnection::on_disconnect(std::function<void()> callback) {
    if (is_disconnected()) {
        callback();
    } else {
        on_disconnect_ = std::move(callback);
    }
}

void HttpConnection::mark_gone() {
    gone_.store(true, std::memory_order_relaxed);
    if (const auto callback = std::exchange(on_disconnect_, nullptr)) callback();
}

void HttpConnection::close_if_idle() {
    asio::post(socket_.get_executor(), [self = shared_from_this()] {
        if (self->idle_) self->close();
    });
}

void HttpConnection::abort() {
    asio::post(socket_.get_executor(), [self = shared_from_this()] {
        self->mark_gone();
        self->close();
    });
}

void HttpConnection::arm(Clock::time_point deadline) {
    timed_out_ = false;
    deadline_ = deadline;
    deadline_timer_.expires_at(deadline);
    deadline_timer_.async_wait([self = shared_from_this()](error_code error) {
        // The timer may have run out just before it was disarmed or set anew.
        if (error || Clock::now() < self->deadline_) return;
        self->timed_out_ = true;
        error_code ignored;
        self->socket_.cancel(ignored);
    });
}

void HttpConnection::disarm() {
    deadline_ = Clock::time_point::max();
    deadline_timer_.cancel();
}

}  // namespace baltoro::server
