#include "server/request_reader.h"

#include <algorithm>
#include <array>

#include <boost/asio/buffer.hpp>

#include "server/request_head.h"

namespace baltoro::server {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using boost::system::error_code;
using Clock = HttpConnection::Clock;
using Read = HttpConnection::Read;

// Most bytes taken from the socket at once. A chunk's size line and the trailer have to fit as
// well.
constexpr std::size_t kReadBytes = 16 << 10;

}  // namespace

RequestReader::RequestReader(HttpConnection& connection,
                             const HttpLimits& limits,
                             HttpRequest& request)
    : connection_(connection), limits_(limits), request_(request) {
    parser_.header_limit(static_cast<std::uint32_t>(limits.head_bytes + 1));
    parser_.body_limit(std::min(limits.body_bytes, limits.all_bodies_bytes));
}

asio::awaitable<RequestReader::Step> RequestReader::read_head() {
    RequestHead head(limits_);
    const Clock::time_point deadline = Clock::now() + limits_.head_time;
    while (true) {
        const RequestHead::State state = head.feed(connection_.unread());
        if (state == RequestHead::State::complete) co_return parse_head(head);
        if (state == RequestHead::State::refused) co_return refuse(head.error());
        const Read read = co_await connection_.read(kReadBytes, deadline);
        switch (read) {
            case Read::data:
                break;
            case Read::timed_out:
                co_return refuse(408, "The request's head did not come in time.");
            case Read::end:
                co_return refuse(400, "The request ends within its head.");
            case Read::failed:
                co_return Step::closed;
        }
    }
}

RequestReader::Step RequestReader::parse_head(const RequestHead& head) {
    connection_.buffer().consume(head.n_skipped());
    const std::size_t size = head.size() - head.n_skipped();
    error_code error;
    parser_.put(asio::buffer(connection_.unread().data(), size), error);
    connection_.buffer().consume(size);
    fill_request();
    if (error == http::error::body_limit) {
        return refuse(413, "The body is larger than this server accepts.");
    }
    if (error) return refuse(400, "The request's head is not valid.");
    request_.has_body = !parser_.is_done();
    return Step::done;
}

// Before the body is read: fields in a chunked body's trailer are not headers.
void RequestReader::fill_request() {
    const auto text = [](boost::beast::string_view view) {
        return std::string(view.data(), view.size());
    };
    const auto& message = parser_.get();
    request_.method = text(message.method_string());
    request_.is_http_10 = message.version() == 10;
    request_.path = text(message.target());
    const std::size_t mark = request_.path.find('?');
    if (mark != std::string::npos) {
        request_.query = request_.path.substr(mark + 1);
        request_.path.resize(mark);
    }
    for (const auto& field : message) {
        request_.headers.push_back({text(field.name_string()), text(field.value())});
    }
}

asio::awaitable<RequestReader::Step> RequestReader::read_body() {
    if (parser_.is_done()) co_return Step::done;
    // At once, not when the client has sent most of it.
    const std::size_t announced = parser_.content_length().value_or(0);
    if (!request_.body_share.may_grow_to(announced)) co_return refuse_for_lack_of_memory();
    body_begin_ = Clock::now();
    const bool waits = !request_.header("Expect").empty() && !request_.is_http_10;
    if (waits && connection_.unread().empty()) {
        co_await connection_.write("HTTP/1.1 100 Continue\r\n\r\n");
    }
    while (!parser_.is_done()) {
        Step step = Step::done;
        if (connection_.unread().empty()) step = co_await read_more_of_body();
        if (step != Step::done) co_return step;
        const std::size_t n_before = connection_.unread().size();
        step = decode_body();
        if (step != Step::done) co_return step;
        // The parser waits for the end of a line.
        if (!parser_.is_done() && connection_.unread().size() == n_before) {
            step = co_await read_more_of_body();
            if (step != Step::done) co_return step;
        }
    }
    co_return Step::done;
}

// Not a byte for too long, or fewer in all than the slowest honest client sends. Only bytes of the
// body count, not those around chunks.
Clock::time_point RequestReader::body_deadline() const {
    const Clock::time_point silent = Clock::now() + limits_.body_time;
    if (limits_.body_bytes_per_s == 0) return silent;
    const std::chrono::milliseconds earned(request_.body.size() * 1000 / limits_.body_bytes_per_s);
    return std::min(silent, body_begin_ + limits_.body_time + earned);
}

asio::awaitable<RequestReader::Step> RequestReader::read_more_of_body() {
    // Not within the switch, nor a large array in a coroutine: g++ 12 breaks the frame.
    const Read read = co_await connection_.read(kReadBytes, body_deadline());
    switch (read) {
        case Read::data:
            co_return Step::done;
        case Read::timed_out:
            co_return refuse(408, "The body did not come in time.");
        case Read::end:
            co_return refuse(400, "The request ends within its body.");
        case Read::failed:
            break;
    }
    co_return Step::closed;
}

RequestReader::Step RequestReader::decode_body() {
    std::array<char, kReadBytes> piece;
    http::buffer_body::value_type& body = parser_.get().body();
    body.data = piece.data();
    body.size = piece.size();
    body.more = true;
    error_code error;
    connection_.buffer().consume(parser_.put(connection_.buffer().data(), error));
    if (error == http::error::body_limit) {
        return refuse(413, "The body is larger than this server accepts.");
    }
    const Step step = append_to_body({piece.data(), piece.size() - body.size});
    if (step != Step::done) return step;
    const bool too_long =
        error == http::error::need_more && connection_.unread().size() > kReadBytes;
    if (too_long ||
        (error && error != http::error::need_more && error != http::error::need_buffer)) {
        return refuse(400, "The chunks of the body are not valid.");
    }
    return Step::done;
}

// Bytes to reserve when the body gets that long. A client that promises a lot and sends little
// keeps nobody out: at most four times what has come. Nor is a body in chunks, whose size nobody
// knows, refused for want of memory that it may not need.
std::size_t RequestReader::body_room(std::size_t needed) const {
    const std::size_t room = std::max(needed, 2 * request_.body.capacity());
    const std::size_t announced = parser_.content_length().value_or(0);
    const std::size_t wanted = announced > room && announced <= 2 * room ? announced : room;
    return std::clamp(request_.body_share.n_most(), needed, wanted);
}

RequestReader::Step RequestReader::append_to_body(std::string_view piece) {
    std::string& body = request_.body;
    const std::size_t needed = body.size() + piece.size();
    if (needed > body.capacity()) {
        const std::size_t room = body_room(needed);
        if (!request_.body_share.grow_to(room)) return refuse_for_lack_of_memory();
        std::string larger;
        larger.reserve(room);  // of the body itself it would make twice as much as there is
        larger.append(body);
        body.swap(larger);
    }
    body.append(piece);
    return Step::done;
}

RequestReader::Step RequestReader::refuse_for_lack_of_memory() {
    ApiError error;
    error.status = 503;
    error.type = "server_error";
    error.message = "The server holds as many bytes of requests as it may.";
    error.retry_after_s = 1;
    return refuse(error);
}

RequestReader::Step RequestReader::refuse(int status, const char* message) {
    error_ = {};
    error_.status = status;
    error_.message = message;
    return Step::refused;
}

RequestReader::Step RequestReader::refuse(const ApiError& error) {
    error_ = error;
    return Step::refused;
}

}  // namespace baltoro::server
