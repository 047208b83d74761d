#include "server/http_session.h"

#include <optional>
#include <typeinfo>
#include <utility>

#include <fmt/format.h>

#include "base/log.h"
#include "base/random.h"
#include "server/http_replies.h"
#include "server/request_reader.h"

namespace baltoro::server {
namespace {

namespace asio = boost::asio;
using Clock = HttpConnection::Clock;
using Step = RequestReader::Step;
using Read = HttpConnection::Read;

// Enough for the head of most requests.
constexpr std::size_t kFirstBytes = 4 << 10;

ApiError api_error(int status, const char* message) {
    ApiError error;
    error.status = status;
    if (status >= 500) error.type = "server_error";
    error.message = message;
    return error;
}

// Serves one connection; see run_session.
class HttpSession {
  public:
    HttpSession(HttpConnection& connection, const ConnectionEnds& ends, HttpService& service)
        : connection_(connection), ends_(ends), service_(service) {}

    // Whether the connection may carry another request.
    asio::awaitable<bool> serve_one();
    // Replies without a handler; returns the same.
    asio::awaitable<bool> send_error(const ApiError& error, bool keep_alive);

  private:
    asio::awaitable<bool> wait_for_request();
    std::optional<ApiError> refusal() const;
    asio::awaitable<bool> respond(bool keep_alive);
    asio::awaitable<bool> run_handler(ResponseWriter& writer);
    void log_failure(const char* what) const;

    HttpConnection& connection_;
    const ConnectionEnds& ends_;
    HttpService& service_;
    bool is_first_ = true;
    HttpRequest request_;
};

asio::awaitable<bool> HttpSession::serve_one() {
    request_ = {};
    request_.over_unix = ends_.over_unix;
    request_.peer = ends_.peer;
    request_.local_host = ends_.local_host;
    request_.body_share = BodyShare(service_.bodies);
    if (!co_await wait_for_request()) co_return false;
    is_first_ = false;
    request_.id = service_.next_request_id();

    RequestReader reader(connection_, service_.limits, request_);
    Step step = co_await reader.read_head();
    if (step == Step::done) {
        if (const std::optional<ApiError> error = refusal()) {
            // Without a body to skip, the next request can follow the refusal.
            const bool keep_alive = !request_.has_body && reader.keeps_alive();
            co_return co_await send_error(*error, keep_alive);
        }
        step = co_await reader.read_body();
    }
    if (step == Step::refused) co_return co_await send_error(reader.error(), false);
    if (step != Step::done) co_return false;
    co_return co_await respond(reader.keeps_alive());
}

// Whether the first bytes of a request have come.
asio::awaitable<bool> HttpSession::wait_for_request() {
    // What was read ahead may be the next request.
    if (!connection_.unread().empty()) co_return true;
    connection_.buffer().shrink_to_fit();
    connection_.set_idle(true);
    service_.connections.set_idle(&connection_, true);
    Read read = Read::end;
    if (!service_.closing) {
        const HttpLimits& limits = service_.limits;
        const auto time = is_first_ ? limits.head_time : limits.idle_time;
        read = co_await connection_.read(kFirstBytes, Clock::now() + time);
    }
    service_.connections.set_idle(&connection_, false);
    connection_.set_idle(false);
    co_return read == Read::data;
}

// Why a request is refused whose head has been read, if it is.
std::optional<ApiError> HttpSession::refusal() const {
    if (std::optional<ApiError> error = service_.access.refusal(request_)) return error;
    const std::string_view expected = request_.header("Expect");
    if (expected.empty() || equal_ignoring_case(expected, "100-continue")) return std::nullopt;
    return api_error(417, "The only expectation known is 100-continue.");
}

asio::awaitable<bool> HttpSession::respond(bool keep_alive) {
    ResponseWriter writer(connection_, request_, keep_alive, service_.closing);
    connection_.watch_peer();
    const bool ok = co_await run_handler(writer);
    connection_.stop_watching();
    request_.drop_body();
    if (!ok && !writer.has_begun() && !connection_.is_disconnected()) {
        co_return co_await send_error(api_error(500, "The server failed to answer the request."),
                                      false);
    }
    if (!writer.has_ended()) co_return false;
    if (!writer.keeps_connection()) co_await connection_.close_after_reading();
    co_return writer.keeps_connection();
}

// Whether the handler has replied.
asio::awaitable<bool> HttpSession::run_handler(ResponseWriter& writer) {
    try {
        co_await service_.handler(request_, writer);
        if (writer.has_ended()) co_return true;
        log_failure("the handler ended before the reply");
    } catch (const ClientGone&) {
        // Ordinary.
    } catch (const Error& error) {
        log_failure(error.what());
    } catch (const std::exception& error) {
        // Texts of other libraries' exceptions may quote the request.
        log_failure(typeid(error).name());
    }
    co_return false;
}

void HttpSession::log_failure(const char* what) const {
    // A handler may end in any way once nobody is left to be told.
    if (connection_.is_disconnected()) return;
    log_warning(fmt::format("request {} of {}: {}", request_.id, ends_.peer, what));
}

// Whether the connection may carry another request.
asio::awaitable<bool> HttpSession::send_error(const ApiError& error, bool keep_alive) {
    request_.drop_body();  // before the client takes its time to go
    ResponseWriter writer(connection_, request_, keep_alive, service_.closing);
    co_await writer.send(error_reply(request_, error));
    if (!writer.keeps_connection()) co_await connection_.close_after_reading();
    co_return writer.keeps_connection();
}

// Also when the server is destroyed while the coroutine waits.
class TableEntry {
  public:
    TableEntry(ConnectionTable& table, const HttpConnection* connection)
        : table_(table), connection_(connection) {}
    ~TableEntry() { table_.remove(connection_); }
    TableEntry(const TableEntry&) = delete;
    TableEntry& operator=(const TableEntry&) = delete;

  private:
    ConnectionTable& table_;
    const HttpConnection* connection_;
};

}  // namespace

std::string HttpService::next_request_id() {
    const std::uint64_t n = n_requests.fetch_add(1, std::memory_order_relaxed);
    Random random(id_seed);
    random.seek(n);
    return fmt::format("req_{:016x}{:08x}", random.next(), n & 0xffffffffu);
}

asio::awaitable<void> run_session(std::shared_ptr<HttpConnection> connection,
                                  ConnectionEnds ends,
                                  HttpService& service,
                                  bool full) {
    const TableEntry entry(service.connections, connection.get());
    HttpSession session(*connection, ends, service);
    try {
        if (full) {
            ApiError error = api_error(503, "The server has no place for another connection.");
            error.retry_after_s = 1;
            co_await session.send_error(error, false);
        } else {
            while (co_await session.serve_one()) {
            }
        }
    } catch (const ClientGone&) {
        // Ordinary: nobody is left to be told.
    } catch (const std::exception& error) {
        log_warning(fmt::format("connection of {}: {}", ends.peer, typeid(error).name()));
    }
    connection->close();
}

}  // namespace baltoro::server
