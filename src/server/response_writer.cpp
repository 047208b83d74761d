#include "server/response_writer.h"

#include <array>
#include <ctime>
#include <string_view>
#include <utility>

#include <fmt/format.h>
#include <boost/beast/http/status.hpp>

#include "base/check.h"

namespace baltoro::server {
namespace {

namespace asio = boost::asio;

// RFC 9110 5.6.7, in English whatever the locale.
std::string date_now() {
    constexpr std::array<const char*, 7> kDays = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    constexpr std::array<const char*, 12> kMonths = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    const std::time_t now = std::time(nullptr);
    std::tm t{};
    ::gmtime_r(&now, &t);
    return fmt::format("{}, {:02} {} {} {:02}:{:02}:{:02} GMT", kDays[t.tm_wday], t.tm_mday,
                       kMonths[t.tm_mon], t.tm_year + 1900, t.tm_hour, t.tm_min, t.tm_sec);
}

std::string_view reason(int status) {
    const auto text =
        boost::beast::http::obsolete_reason(static_cast<boost::beast::http::status>(status));
    return {text.data(), text.size()};
}

bool breaks_lines(std::string_view text) noexcept {
    return text.find_first_of(std::string_view("\r\n\0", 3)) != std::string_view::npos;
}

void append_header(std::string& head, std::string_view name, std::string_view value) {
    if (breaks_lines(name) || breaks_lines(value)) {
        throw Error("a reply's header holds a line break or NUL");
    }
    head.append(name).append(": ").append(value).append("\r\n");
}

bool has_no_body(int status) noexcept {
    return status < 200 || status == 204 || status == 304;
}

}  // namespace

ResponseWriter::ResponseWriter(HttpConnection& connection,
                               const HttpRequest& request,
                               bool keep_alive,
                               const std::atomic<bool>& closing) noexcept
    : connection_(connection), request_(request), keep_alive_(keep_alive), closing_(closing) {}

std::string ResponseWriter::head(int status,
                                 const std::string& content_type,
                                 const HttpHeaders& headers) {
    if (closing_.load(std::memory_order_relaxed)) keep_alive_ = false;
    std::string head = fmt::format("HTTP/1.1 {} {}\r\n", status, reason(status));
    append_header(head, "Date", date_now());
    if (!content_type.empty()) append_header(head, "Content-Type", content_type);
    for (const HttpHeader& header : headers)
        append_header(head, header.name, header.value);
    if (!keep_alive_) {
        append_header(head, "Connection", "close");
    } else if (request_.is_http_10) {
        append_header(head, "Connection", "keep-alive");
    }
    return head;
}

asio::awaitable<void> ResponseWriter::send(HttpReply reply) {
    check(state_ == State::fresh, "a request gets one reply");
    const bool bare = has_no_body(reply.status);
    std::string text = head(reply.status, reply.content_type, reply.headers);
    if (!bare) append_header(text, "Content-Length", std::to_string(reply.body.size()));
    text += "\r\n";
    if (!bare && request_.method != "HEAD") text += reply.body;
    state_ = State::streaming;
    co_await connection_.write(text);
    state_ = State::ended;
}

asio::awaitable<void> ResponseWriter::begin_stream(std::string content_type, HttpHeaders headers) {
    check(state_ == State::fresh, "a request gets one reply");
    if (request_.is_http_10) keep_alive_ = false;
    std::string text = head(200, content_type, headers);
    if (!request_.is_http_10) append_header(text, "Transfer-Encoding", "chunked");
    text += "\r\n";
    state_ = State::streaming;
    co_await connection_.write(text);
}

asio::awaitable<void> ResponseWriter::write(std::string bytes) {
    check(state_ == State::streaming, "a stream has begun and not ended");
    // An empty chunk would end the stream.
    if (bytes.empty() || request_.method == "HEAD") co_return;
    if (!request_.is_http_10) {
        bytes.insert(0, fmt::format("{:x}\r\n", bytes.size()));
        bytes += "\r\n";
    }
    co_await connection_.write(bytes);
}

asio::awaitable<void> ResponseWriter::end() {
    check(state_ == State::streaming, "a stream has begun and not ended");
    const bool chunked = !request_.is_http_10 && request_.method != "HEAD";
    if (chunked) co_await connection_.write("0\r\n\r\n");
    state_ = State::ended;
}

void ResponseWriter::on_disconnect(std::function<void()> callback) {
    connection_.on_disconnect(std::move(callback));
}

}  // namespace baltoro::server
