#pragma once

#include <cstdint>
#include <string>
#include <utility>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>

namespace baltoro::server {

// Listens on an IP address ("127.0.0.1", "::1", "[::1]", "0.0.0.0") or "localhost", which is
// 127.0.0.1; other names are refused because looking them up would ask the network. Port 0 takes a
// free one. Throws Error.
boost::asio::ip::tcp::acceptor listen_on_tcp(const boost::asio::any_io_executor& executor,
                                             const std::string& host,
                                             int port);

// Listens on a unix socket of mode 0600. A socket file that nobody listens on is replaced; any
// other file is left alone. Throws Error.
boost::asio::local::stream_protocol::acceptor listen_on_unix(
    const boost::asio::any_io_executor& executor, const std::string& path);

// Removes a socket file when it is destroyed, unless another file has taken its place.
class SocketFile {
  public:
    SocketFile() = default;
    // The file exists.
    explicit SocketFile(std::string path);
    ~SocketFile();
    SocketFile(SocketFile&& other) noexcept { *this = std::move(other); }
    SocketFile& operator=(SocketFile&& other) noexcept;

    // The file stays.
    void release() noexcept { path_.clear(); }

  private:
    std::string path_;
    std::uint64_t device_ = 0;
    std::uint64_t inode_ = 0;
};

}  // namespace baltoro::server
