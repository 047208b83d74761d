#include "tests/server/http_test_client.h"

#include <cstdlib>
#include <filesystem>
#include <iterator>
#include <stdexcept>
#include <utility>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace baltoro::server {
namespace {

void require(bool ok, const char* what) {
    if (!ok) throw std::runtime_error(std::string("test client: ") + what);
}

}  // namespace

TestClient::TestClient(int port) : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    require(::connect(socket_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0,
            "connect");
}

TestClient::TestClient(const std::string& unix_path)
    : socket_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    unix_path.copy(address.sun_path, sizeof address.sun_path - 1);
    require(::connect(socket_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0,
            "connect");
}

TestClient::TestClient(TestClient&& other) noexcept
    : socket_(std::exchange(other.socket_, -1)), unread_(std::move(other.unread_)) {}

TestClient::~TestClient() {
    close();
}

void TestClient::send(std::string_view bytes) {
    while (!bytes.empty()) {
        pollfd ask{socket_, POLLOUT, 0};
        require(::poll(&ask, 1, 10'000) == 1, "the server takes nothing");
        const ssize_t n = ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0) return;
        bytes.remove_prefix(static_cast<std::size_t>(n));
    }
}

void TestClient::end_sending() {
    ::shutdown(socket_, SHUT_WR);
}

void TestClient::close() {
    if (socket_ >= 0) ::close(socket_);
    socket_ = -1;
}

void TestClient::reset() {
    const linger at_once{1, 0};
    ::setsockopt(socket_, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    close();
}

void TestClient::shrink_receive_buffer() {
    const int size = 4096;
    ::setsockopt(socket_, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
}

bool TestClient::read_some() {
    pollfd ask{socket_, POLLIN, 0};
    require(::poll(&ask, 1, 10'000) == 1, "the server sends nothing");
    char piece[16384];
    const ssize_t n = ::recv(socket_, piece, sizeof piece, 0);
    if (n <= 0) return false;
    unread_.append(piece, static_cast<std::size_t>(n));
    return true;
}

std::string TestClient::read_until(std::string_view text) {
    std::size_t at = 0;
    while ((at = unread_.find(text)) == std::string::npos) {
        if (!read_some()) return std::exchange(unread_, {});
    }
    const std::string result = unread_.substr(0, at + text.size());
    unread_.erase(0, result.size());
    return result;
}

std::string TestClient::read_reply() {
    std::string reply = read_until("\r\n\r\n");
    const std::string length = header_of(reply, "Content-Length");
    const std::size_t n = length.empty() ? 0 : std::stoul(length);
    while (unread_.size() < n && read_some()) {
    }
    reply += unread_.substr(0, n);
    unread_.erase(0, n);
    return reply;
}

std::string TestClient::read_all() {
    while (read_some()) {
    }
    return std::exchange(unread_, {});
}

std::string get(std::string_view path, std::string_view headers) {
    return "GET " + std::string(path) + " HTTP/1.1\r\nHost: localhost\r\n" + std::string(headers) +
           "\r\n";
}

std::string post(std::string_view path, std::string_view body, std::string_view headers) {
    return "POST " + std::string(path) +
           " HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: " +
           std::to_string(body.size()) + "\r\n" + std::string(headers) + "\r\n" + std::string(body);
}

int status_of(std::string_view reply) {
    constexpr std::string_view kVersion = "HTTP/1.1 ";
    if (reply.substr(0, kVersion.size()) != kVersion) return 0;
    return std::atoi(std::string(reply.substr(kVersion.size(), 3)).c_str());
}

std::string header_of(std::string_view reply, std::string_view name) {
    const std::string line = "\r\n" + std::string(name) + ": ";
    const std::size_t at = reply.substr(0, reply.find("\r\n\r\n") + 2).find(line);
    if (at == std::string_view::npos) return {};
    reply.remove_prefix(at + line.size());
    return std::string(reply.substr(0, reply.find("\r\n")));
}

std::string body_of(std::string_view reply) {
    const std::size_t at = reply.find("\r\n\r\n");
    return at == std::string_view::npos ? std::string() : std::string(reply.substr(at + 4));
}

std::string dechunked(std::string_view body) {
    std::string result;
    while (true) {
        const std::size_t end = body.find("\r\n");
        if (end == std::string_view::npos) return result + "<cut>";
        const std::size_t n = std::stoul(std::string(body.substr(0, end)), nullptr, 16);
        if (n == 0) return body.substr(end) == "\r\n\r\n" ? result : result + "<bad end>";
        result += body.substr(end + 2, n);
        if (body.size() < end + 4 + n) return result + "<cut>";
        body.remove_prefix(end + 4 + n);
    }
}

std::size_t n_replies(std::string_view bytes) {
    std::size_t n = 0;
    for (std::size_t at = bytes.find("HTTP/1.1 "); at != std::string_view::npos;
         at = bytes.find("HTTP/1.1 ", at + 1)) {
        ++n;
    }
    return n;
}

std::size_t n_open_files() {
    const std::filesystem::directory_iterator files("/proc/self/fd");
    return static_cast<std::size_t>(std::distance(begin(files), end(files)));
}

}  // namespace baltoro::server
