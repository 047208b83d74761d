#pragma once

#include <cstdint>

namespace baltoro::server {

enum class PeerState : std::uint8_t {
    open,
    half_closed,  // sends no more, still reads
    gone,
};

// How the other end of a connected stream socket stands; never blocks, any thread.
//
// TCP says the same (FIN) when a client has closed its socket and when it has only ended its
// sending side. Where the client is on this machine, the kernel's socket table tells the two apart:
// a closed socket has no owner any more. It also tells of a client that closed with more unsent
// than the receive buffer takes, whose FIN never comes. A client elsewhere that has sent FIN counts
// as gone, as in most servers: nearly all such clients are. A unix socket says it by itself.
PeerState peer_state(int socket) noexcept;

}  // namespace baltoro::server
