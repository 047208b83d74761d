#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include <boost/asio/awaitable.hpp>

#include "server/access_rules.h"
#include "server/body_budget.h"
#include "server/connection_table.h"
#include "server/http_connection.h"
#include "server/http_limits.h"
#include "server/response_writer.h"

namespace baltoro::server {

// What all sessions of a server share; the server owns it. Constant while it runs, but for the
// members that any thread may use.
struct HttpService {
    HttpService(const HttpLimits& its_limits, AccessRules rules, HttpHandler its_handler)
        : limits(its_limits),
          access(std::move(rules)),
          handler(std::move(its_handler)),
          connections(limits.n_connections),
          bodies(limits.all_bodies_bytes) {}

    // "req_" and 24 hexadecimal digits that a client cannot guess from its own.
    std::string next_request_id();

    const HttpLimits limits;
    AccessRules access;
    const HttpHandler handler;
    ConnectionTable connections;        // any thread
    BodyBudget bodies;                  // any thread
    std::atomic<bool> closing = false;  // no more requests are taken
    std::atomic<std::uint64_t> n_requests = 0;
    std::uint64_t id_seed = 0;
};

// The two ends of a connection, as HttpRequest shows them.
struct ConnectionEnds {
    std::string peer;
    std::string local_host;
    bool over_unix = false;
};

// Serves the requests of a connection one after the other until it closes and then takes it out of
// the table; where `full`, only says 503. Runs in the connection's strand. Never throws.
boost::asio::awaitable<void> run_session(std::shared_ptr<HttpConnection> connection,
                                         ConnectionEnds ends,
                                         HttpService& service,
                                         bool full);

}  // namespace baltoro::server
