#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <unordered_map>

#include "server/http_connection.h"

namespace baltoro::server {

// The open connections of a server and the order in which they became idle. Any thread: the lock is
// held for a few pointer operations and never while anything waits.
class ConnectionTable {
  public:
    enum class Admission : std::uint8_t { admitted, full, overrun };

    explicit ConnectionTable(std::size_t n_at_most) : n_at_most_(n_at_most) {}

    // Enters a connection. When all places are taken, the one that has been idle longest is closed
    // for it; if none is idle, it gets a place for a refusal only (full), and if too many of those
    // are open, none at all (overrun).
    Admission admit(const std::shared_ptr<HttpConnection>& connection);
    void remove(const HttpConnection* connection);

    void set_idle(const HttpConnection* connection, bool idle);
    void close_idle();
    void abort_all();

    std::size_t size() const;
    std::size_t n_idle() const;
    // Whether all are gone before `deadline`.
    bool wait_until_empty(HttpConnection::Clock::time_point deadline) const;

  private:
    using IdleList = std::list<const HttpConnection*>;
    struct Entry {
        // Shared with the coroutine that serves the connection.
        std::shared_ptr<HttpConnection> connection;
        IdleList::iterator idle;  // the list's end if it is not idle
    };

    const std::size_t n_at_most_;
    mutable std::mutex mutex_;
    mutable std::condition_variable emptied_;
    std::unordered_map<const HttpConnection*, Entry> entries_;
    IdleList idle_;  // longest first
};

}  // namespace baltoro::server
