#include "server/connection_table.h"

namespace baltoro::server {
namespace {

// Connections that are being told 503 beside a full table.
constexpr std::size_t kMostRefusals = 64;

}  // namespace

ConnectionTable::Admission ConnectionTable::admit(
    const std::shared_ptr<HttpConnection>& connection) {
    const std::lock_guard lock(mutex_);
    Admission admission = Admission::admitted;
    if (entries_.size() >= n_at_most_ && !idle_.empty()) {
        const auto oldest = entries_.find(idle_.front());
        // It leaves the list now, so that the next one does not count on it as well; the table
        // exceeds its size until its coroutine has ended.
        idle_.pop_front();
        oldest->second.idle = idle_.end();
        oldest->second.connection->close_if_idle();
    } else if (entries_.size() >= n_at_most_ + kMostRefusals) {
        return Admission::overrun;
    } else if (entries_.size() >= n_at_most_) {
        admission = Admission::full;
    }
    entries_.emplace(connection.get(), Entry{connection, idle_.end()});
    return admission;
}

void ConnectionTable::remove(const HttpConnection* connection) {
    const std::lock_guard lock(mutex_);
    const auto entry = entries_.find(connection);
    if (entry == entries_.end()) return;
    if (entry->second.idle != idle_.end()) idle_.erase(entry->second.idle);
    entries_.erase(entry);
    if (entries_.empty()) emptied_.notify_all();
}

void ConnectionTable::set_idle(const HttpConnection* connection, bool idle) {
    const std::lock_guard lock(mutex_);
    const auto entry = entries_.find(connection);
    if (entry == entries_.end()) return;
    if (entry->second.idle != idle_.end()) idle_.erase(entry->second.idle);
    entry->second.idle = idle ? idle_.insert(idle_.end(), connection) : idle_.end();
}

void ConnectionTable::close_idle() {
    const std::lock_guard lock(mutex_);
    for (const HttpConnection* connection : idle_) {
        entries_.at(connection).connection->close_if_idle();
    }
}

void ConnectionTable::abort_all() {
    const std::lock_guard lock(mutex_);
    for (const auto& [key, entry] : entries_)
        entry.connection->abort();
}

std::size_t ConnectionTable::size() const {
    const std::lock_guard lock(mutex_);
    return entries_.size();
}

std::size_t ConnectionTable::n_idle() const {
    const std::lock_guard lock(mutex_);
    return idle_.size();
}

bool ConnectionTable::wait_until_empty(HttpConnection::Clock::time_point deadline) const {
    std::unique_lock lock(mutex_);
    return emptied_.wait_until(lock, deadline, [this] { return entries_.empty(); });
}

}  // namespace baltoro::server
