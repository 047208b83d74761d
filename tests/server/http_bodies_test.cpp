#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include <doctest/doctest.h>

#include "tests/server/http_test_client.h"
#include "tests/server/http_test_server.h"

using namespace baltoro::server;
using namespace std::chrono_literals;

namespace {

std::string head_of(const std::string& path, std::size_t n_bytes, const std::string& more = {}) {
    return "POST " + path +
           " HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: " +
           std::to_string(n_bytes) + "\r\n" + more + "\r\n";
}

HttpServerOptions with_body_memory(std::size_t n_bytes) {
    HttpServerOptions options = TestServer::short_times();
    options.limits.all_bodies_bytes = n_bytes;
    // The clients of these tests are slow under a sanitizer.
    options.limits.body_time = 10s;
    options.limits.linger_time = 10s;
    return options;
}

// Sends a byte every few milliseconds until it is told to end.
class Trickle {
  public:
    explicit Trickle(TestClient& client)
        : thread_([this, &client] {
              while (!ends_) {
                  client.send("x");
                  std::this_thread::sleep_for(5ms);
              }
          }) {}
    ~Trickle() {
        ends_ = true;
        thread_.join();
    }
    Trickle(const Trickle&) = delete;
    Trickle& operator=(const Trickle&) = delete;

  private:
    std::atomic<bool> ends_ = false;
    std::thread thread_;  // the last member: it uses the other
};

}  // namespace

TEST_CASE("bodies of all connections share a memory that is given back") {
    TestServer server(with_body_memory(1 << 20));
    const std::string body(300'000, 'b');
    std::vector<TestClient> holders;
    for (int i = 0; i < 3; ++i) {
        holders.emplace_back(server.port());
        holders.back().send(post("/silent", body));
    }
    REQUIRE(eventually([&] { return server.n_running == 3; }));
    CHECK(server.server().n_body_bytes() == 900'000);

    TestClient refused(server.port());
    refused.send(post("/a", body));
    const std::string reply = refused.read_all();
    CHECK(status_of(reply) == 503);
    CHECK(header_of(reply, "Retry-After") == "1");
    CHECK(header_of(reply, "Connection") == "close");
    CHECK(n_replies(reply) == 1);
    TestClient small(server.port());
    small.send(post("/a", "{}"));
    CHECK(body_of(small.read_reply()) == "POST /a {}");

    CHECK(server.server().n_body_bytes() == 900'000);  // though the refused stay connected

    holders.pop_back();
    REQUIRE(eventually([&] { return server.server().n_body_bytes() == 600'000; }));
    TestClient next(server.port());
    next.send(post("/a", body));
    CHECK(status_of(next.read_reply()) == 200);
    holders.clear();
    CHECK(eventually([&] { return server.server().n_body_bytes() == 0; }));
}

TEST_CASE("a body for which no memory is left is refused before it is sent") {
    TestServer server(with_body_memory(1 << 20));
    TestClient holder(server.port());
    holder.send(post("/silent", std::string(600'000, 'b')));
    REQUIRE(eventually([&] { return server.n_running == 1; }));
    TestClient refused(server.port());
    refused.send(head_of("/a", 500'000, "Expect: 100-continue\r\n"));
    const std::string reply = refused.read_until("\r\n\r\n");
    CHECK(status_of(reply) == 503);
    CHECK(header_of(reply, "Retry-After") == "1");
    CHECK(server.n_calls == 1);
}

TEST_CASE("a body in chunks takes all the memory that is left, and no more") {
    TestServer server(with_body_memory(100'000));
    TestClient holder(server.port());
    holder.send(post("/silent", std::string(50'000, 'b')));
    REQUIRE(eventually([&] { return server.n_running == 1; }));
    const std::string piece = "2710\r\n" + std::string(10'000, 'c') + "\r\n";
    for (const int n_pieces : {5, 6}) {
        CAPTURE(n_pieces);
        TestClient client(server.port());
        client.send(
            "POST /a HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            "Transfer-Encoding: chunked\r\n\r\n");
        for (int i = 0; i < n_pieces; ++i)
            client.send(piece);
        if (n_pieces == 5) client.send("0\r\n\r\n");
        const std::string reply = n_pieces == 5 ? client.read_reply() : client.read_all();
        CHECK(status_of(reply) == (n_pieces == 5 ? 200 : 503));
        CHECK(eventually([&] { return server.server().n_body_bytes() == 50'000; }));
    }
}

TEST_CASE("a body larger than the memory for all can never be accepted") {
    TestServer server(with_body_memory(1000));
    TestClient client(server.port());
    client.send(post("/a", std::string(1000, 'b')));
    CHECK(status_of(client.read_reply()) == 200);
    client.send(post("/a", std::string(1001, 'b')));
    CHECK(status_of(client.read_all()) == 413);
}

TEST_CASE("clients that announce bodies and send little keep nobody out") {
    TestServer server(with_body_memory(1 << 20));
    std::vector<TestClient> promising;
    for (int i = 0; i < 50; ++i) {
        promising.emplace_back(server.port());
        promising.back().send(head_of("/a", 1 << 20) + "{");
    }
    REQUIRE(eventually([&] { return server.server().n_connections() == 50; }));
    TestClient client(server.port());
    client.send(post("/a", std::string(500'000, 'b')));
    CHECK(status_of(client.read_reply()) == 200);
}

TEST_CASE("a body that trickles in is answered with 408 however steady it is") {
    HttpServerOptions options = TestServer::short_times();
    TestServer server(options);
    TestClient client(server.port());
    client.send(head_of("/a", 1 << 20));
    const Trickle trickle(client);
    CHECK(status_of(client.read_all()) == 408);
    CHECK(server.n_calls == 0);
}

TEST_CASE("chunks' overhead does not make a trickle faster") {
    TestServer server;
    TestClient client(server.port());
    client.send(
        "POST /a HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        "Transfer-Encoding: chunked\r\n\r\n");
    std::atomic<bool> ends = false;
    std::thread sender([&] {
        while (!ends) {
            client.send("1;e=" + std::string(2000, 'e') + "\r\nx\r\n");
            std::this_thread::sleep_for(5ms);
        }
    });
    CHECK(status_of(client.read_all()) == 408);
    ends = true;
    sender.join();
}

TEST_CASE("a body that comes fast enough may take longer than a silence") {
    HttpServerOptions options = TestServer::short_times();
    options.limits.body_time = 1s;
    options.limits.body_bytes_per_s = 1000;
    TestServer server(options);
    TestClient client(server.port());
    constexpr int kPieces = 12;
    client.send(head_of("/a", kPieces * 1000));
    for (int i = 0; i < kPieces; ++i) {
        std::this_thread::sleep_for(100ms);
        client.send(std::string(1000, 'b'));
    }
    CHECK(status_of(client.read_reply()) == 200);
}
