#include "server/listen_address.h"

#include <cerrno>
#include <utility>

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <boost/asio/ip/address.hpp>

#include "base/error.h"

namespace baltoro::server {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;
using Tcp = asio::ip::tcp;
using Local = asio::local::stream_protocol;

constexpr int kBacklog = 1024;

asio::ip::address address_of(const std::string& host) {
    if (host == "localhost") return asio::ip::address_v4::loopback();
    std::string text = host;
    if (text.size() > 2 && text.front() == '[' && text.back() == ']') {
        text = text.substr(1, text.size() - 2);
    }
    error_code error;
    const asio::ip::address address = asio::ip::make_address(text, error);
    if (!error) return address;
    throw Error(
        fmt::format("cannot listen on host '{}': it is neither an IP address nor localhost", host));
}

[[noreturn]] void fail(const std::string& where, const error_code& error) {
    const std::string advice = error == asio::error::address_in_use
                                   ? "; another program listens there, choose another port"
                                   : "";
    throw Error(fmt::format("cannot listen on {}: {}{}", where, error.message(), advice));
}

// Whether a program accepts connections at `path`.
bool is_listened_on(const std::string& path) {
    asio::io_context io;
    Local::socket socket(io);
    error_code error;
    socket.connect(Local::endpoint(path), error);
    // A full backlog (would_block) has somebody behind it as well.
    return error != asio::error::connection_refused;
}

void remove_stale_socket(const std::string& path) {
    struct stat status {};
    if (::lstat(path.c_str(), &status) != 0) {
        if (errno == ENOENT) return;
        throw system_error("cannot listen on unix socket " + path, errno);
    }
    if (!S_ISSOCK(status.st_mode)) {
        throw Error("cannot listen on unix socket " + path + ": another kind of file is there");
    }
    if (is_listened_on(path)) {
        throw Error("cannot listen on unix socket " + path + ": another program listens there");
    }
    if (::unlink(path.c_str()) != 0) {
        throw system_error("cannot remove the stale unix socket " + path, errno);
    }
}

}  // namespace

Tcp::acceptor listen_on_tcp(const asio::any_io_executor& executor,
                            const std::string& host,
                            int port) {
    const std::string where = fmt::format("{} port {}", host, port);
    if (port < 0 || port > 65535) throw Error("cannot listen on " + where + ": no such port");
    const Tcp::endpoint endpoint(address_of(host), static_cast<std::uint16_t>(port));
    Tcp::acceptor acceptor(executor);
    error_code error;
    acceptor.open(endpoint.protocol(), error);
    if (error) fail(where, error);
    // Else a restart has to wait for the old connections' ends.
    acceptor.set_option(Tcp::acceptor::reuse_address(true), error);
    if (!error) acceptor.bind(endpoint, error);
    if (!error) acceptor.listen(kBacklog, error);
    if (error) fail(where, error);
    return acceptor;
}

Local::acceptor listen_on_unix(const asio::any_io_executor& executor, const std::string& path) {
    const std::string where = "unix socket " + path;
    if (path.empty() || path.size() >= sizeof(sockaddr_un::sun_path) ||
        path.find('\0') != std::string::npos) {
        throw Error(fmt::format("cannot listen on {}: the path needs 1 to {} bytes", where,
                                sizeof(sockaddr_un::sun_path) - 1));
    }
    remove_stale_socket(path);
    Local::acceptor acceptor(executor);
    error_code error;
    acceptor.open(Local(), error);
    if (error) fail(where, error);
    // bind() takes the mode over from the socket, so the file is never open to others.
    if (::fchmod(acceptor.native_handle(), 0600) != 0) {
        throw system_error("cannot listen on " + where, errno);
    }
    acceptor.bind(Local::endpoint(path), error);
    if (error) fail(where, error);
    SocketFile file(path);  // removes it again if something fails
    if (::chmod(path.c_str(), 0600) != 0) throw system_error("cannot listen on " + where, errno);
    acceptor.listen(kBacklog, error);
    if (error) fail(where, error);
    file.release();
    return acceptor;
}

SocketFile::SocketFile(std::string path) : path_(std::move(path)) {
    struct stat status {};
    if (::lstat(path_.c_str(), &status) != 0) {
        throw system_error("cannot look at unix socket " + path_, errno);
    }
    device_ = status.st_dev;
    inode_ = status.st_ino;
}

SocketFile::~SocketFile() {
    if (path_.empty()) return;
    struct stat status {};
    if (::lstat(path_.c_str(), &status) != 0) return;
    if (status.st_dev == device_ && status.st_ino == inode_) ::unlink(path_.c_str());
}

SocketFile& SocketFile::operator=(SocketFile&& other) noexcept {
    std::swap(path_, other.path_);
    std::swap(device_, other.device_);
    std::swap(inode_, other.inode_);
    return *this;
}

}  // namespace baltoro::server
