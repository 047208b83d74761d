#include "server/peer_state.h"

#include <cstring>

#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace baltoro::server {
namespace {

struct Question {
    nlmsghdr header;
    inet_diag_req_v2 request;
};

void set_end(const sockaddr_storage& end, __be16& port, __be32* address) noexcept {
    if (end.ss_family == AF_INET) {
        sockaddr_in v4{};
        std::memcpy(&v4, &end, sizeof v4);
        port = v4.sin_port;
        std::memcpy(address, &v4.sin_addr, sizeof v4.sin_addr);
    } else {
        sockaddr_in6 v6{};
        std::memcpy(&v6, &end, sizeof v6);
        port = v6.sin6_port;
        std::memcpy(address, &v6.sin6_addr, sizeof v6.sin6_addr);
    }
}

// Asks the kernel for the TCP socket whose ends are those of `socket` the other way round.
bool make_question(int socket, Question& question) noexcept {
    sockaddr_storage near{};
    sockaddr_storage far{};
    socklen_t near_size = sizeof near;
    socklen_t far_size = sizeof far;
    // The generic socket address of the C interface.
    const auto plain = [](sockaddr_storage& address) {
        return reinterpret_cast<sockaddr*>(&address);
    };
    if (::getsockname(socket, plain(near), &near_size) != 0) return false;
    if (::getpeername(socket, plain(far), &far_size) != 0) return false;
    question = {};
    question.header.nlmsg_len = sizeof question;
    question.header.nlmsg_type = SOCK_DIAG_BY_FAMILY;
    question.header.nlmsg_flags = NLM_F_REQUEST;
    question.request.sdiag_family = static_cast<__u8>(far.ss_family);
    question.request.sdiag_protocol = IPPROTO_TCP;
    question.request.idiag_states = ~0u;
    inet_diag_sockid& id = question.request.id;
    set_end(far, id.idiag_sport, id.idiag_src);
    set_end(near, id.idiag_dport, id.idiag_dst);
    id.idiag_cookie[0] = id.idiag_cookie[1] = ~0u;  // any
    return true;
}

enum class Holder : std::uint8_t {
    process,  // of this machine
    none,     // it was closed
    unknown,  // elsewhere, as a rule
};

// Who holds the other end of a TCP connection.
Holder holder_of_peer(int socket) noexcept {
    Question question{};
    if (!make_question(socket, question)) return Holder::unknown;
    const int diag =
        ::socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_SOCK_DIAG);
    if (diag < 0) return Holder::unknown;
    alignas(nlmsghdr) char answer[4096];
    // The kernel answers while send() runs, so nothing waits here.
    const ssize_t sent = ::send(diag, &question, sizeof question, 0);
    const ssize_t n = sent < 0 ? -1 : ::recv(diag, answer, sizeof answer, 0);
    ::close(diag);
    constexpr std::size_t kNeeded = NLMSG_HDRLEN + sizeof(inet_diag_msg);
    if (n < static_cast<ssize_t>(kNeeded)) return Holder::unknown;
    nlmsghdr header{};
    inet_diag_msg message{};
    std::memcpy(&header, answer, sizeof header);
    std::memcpy(&message, answer + NLMSG_HDRLEN, sizeof message);
    if (header.nlmsg_type != SOCK_DIAG_BY_FAMILY) return Holder::unknown;
    return message.idiag_inode != 0 ? Holder::process : Holder::none;
}

bool is_unix(int socket) noexcept {
    int domain = 0;
    socklen_t size = sizeof domain;
    return ::getsockopt(socket, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0 && domain == AF_UNIX;
}

}  // namespace

PeerState peer_state(int socket) noexcept {
    pollfd ask{socket, POLLIN | POLLRDHUP, 0};
    if (::poll(&ask, 1, 0) <= 0) return PeerState::open;
    if ((ask.revents & (POLLHUP | POLLERR | POLLNVAL)) != 0) return PeerState::gone;
    const bool has_ended = (ask.revents & POLLRDHUP) != 0;
    if (is_unix(socket)) return has_ended ? PeerState::half_closed : PeerState::open;
    const Holder holder = holder_of_peer(socket);
    if (!has_ended) return holder == Holder::none ? PeerState::gone : PeerState::open;
    return holder == Holder::process ? PeerState::half_closed : PeerState::gone;
}

}  // namespace baltoro::server
