#pragma once

#include <chrono>
#include <cstddef>
#include <string>
#include <string_view>
#include <thread>

namespace baltoro::server {

// A client made of plain sockets, which sends any bytes. Every wait ends after 10 s with a failed
// test.
class TestClient {
  public:
    explicit TestClient(int port);
    explicit TestClient(const std::string& unix_path);
    TestClient(TestClient&& other) noexcept;
    ~TestClient();

    // Sends everything, or until the server closes the connection.
    void send(std::string_view bytes);
    void end_sending();
    void close();
    // Closes with RST.
    void reset();
    void shrink_receive_buffer();

    // Reads until the text has come, or the server closes.
    std::string read_until(std::string_view text);
    // Reads one reply with Content-Length; what follows stays.
    std::string read_reply();
    // Reads until the server closes.
    std::string read_all();

  private:
    bool read_some();

    int socket_ = -1;
    std::string unread_;
};

// "GET /path HTTP/1.1" with Host and more header lines, each of which ends in CR LF.
std::string get(std::string_view path, std::string_view headers = {});
std::string post(std::string_view path, std::string_view body, std::string_view headers = {});

int status_of(std::string_view reply);
// "" if there is none; names are matched as written.
std::string header_of(std::string_view reply, std::string_view name);
std::string body_of(std::string_view reply);
std::string dechunked(std::string_view body);
std::size_t n_replies(std::string_view bytes);

// Waits until `condition` holds, 10 s at most; whether it does.
template <typename Condition>
bool eventually(Condition condition) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (!condition()) {
        if (std::chrono::steady_clock::now() > deadline) return false;
        std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    return true;
}

std::size_t n_open_files();

}  // namespace baltoro::server
