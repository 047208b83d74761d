#pragma once

#include <chrono>
#include <cstddef>

namespace baltoro::server {

// What one client may take. The sizes bound what is read before anything is allocated for it; the
// times bound how long a connection is held for a client that does nothing.
struct HttpLimits {
    std::size_t request_line_bytes = 8 << 10;  // beyond: 414
    std::size_t head_bytes = 64 << 10;         // request line and fields; beyond: 431
    std::size_t n_fields = 100;                // beyond: 431
    std::size_t body_bytes = 64 << 20;         // after decoding chunks; beyond: 413
    std::size_t all_bodies_bytes = 256 << 20;  // held at once over all connections; beyond: 503
    std::size_t n_connections = 1024;          // beyond: the oldest idle one is closed, or 503
    std::size_t body_bytes_per_s = 16 << 10;   // of a body that takes longer than body_time; 0: any

    std::chrono::milliseconds head_time{10'000};   // from the first byte to the empty line
    std::chrono::milliseconds body_time{30'000};   // without a byte of the body
    std::chrono::milliseconds idle_time{75'000};   // between two requests
    std::chrono::milliseconds write_time{30'000};  // without a byte taken by the client
    std::chrono::milliseconds linger_time{1'000};  // reading on after a refusal
    std::chrono::milliseconds stop_time{2'000};    // for handlers to notice that all is over
};

}  // namespace baltoro::server
