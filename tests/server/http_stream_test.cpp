#include <filesystem>
#include <random>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "tests/server/http_test_client.h"
#include "tests/server/http_test_server.h"

using namespace baltoro::server;

namespace {

constexpr const char* kEvents = "data: 1\n\ndata: 2\n\ndata: [DONE]\n\n";

}  // namespace

TEST_CASE("a stream is sent in chunks and the connection stays") {
    TestServer server;
    TestClient client(server.port());
    client.send(get("/stream"));
    const std::string head = client.read_until("\r\n\r\n");
    CHECK(header_of(head, "Transfer-Encoding") == "chunked");
    CHECK(header_of(head, "Content-Type") == "text/event-stream");
    CHECK(header_of(head, "Cache-Control") == "no-cache");
    CHECK(header_of(head, "Content-Length") == "");
    CHECK(dechunked(client.read_until("0\r\n\r\n")) == kEvents);
    client.send(get("/a"));
    CHECK(body_of(client.read_reply()) == "GET /a ");
}

TEST_CASE("a stream to HTTP/1.0 ends with the connection") {
    TestServer server;
    TestClient client(server.port());
    client.send("GET /stream HTTP/1.0\r\nHost: localhost\r\nConnection: keep-alive\r\n\r\n");
    const std::string reply = client.read_all();
    CHECK(header_of(reply, "Transfer-Encoding") == "");
    CHECK(header_of(reply, "Connection") == "close");
    CHECK(body_of(reply) == kEvents);
}

TEST_CASE("a client that closes is noticed while the handler is silent") {
    TestServer server;
    for (const bool by_reset : {false, true}) {
        CAPTURE(by_reset);
        const int n_before = server.n_disconnected;
        TestClient client(server.port());
        client.send(get("/silent"));
        REQUIRE(eventually([&] { return server.n_running == 1; }));
        by_reset ? client.reset() : client.close();
        CHECK(eventually([&] { return server.n_running == 0; }));
        CHECK(server.n_disconnected == n_before + 1);
    }
}

TEST_CASE("a client that closes after sending more is noticed") {
    TestServer server;
    TestClient client(server.port());
    // More than the receive buffer takes, so that the end of the connection stays behind it.
    client.send(get("/silent") + get("/a") + std::string(400'000, 'x'));
    REQUIRE(eventually([&] { return server.n_running == 1; }));
    client.close();
    CHECK(eventually([&] { return server.n_running == 0; }));
    CHECK(server.n_disconnected == 1);
}

TEST_CASE("a client that only ends its sending side gets its reply") {
    TestServer server;
    TestClient client(server.port());
    client.send(get("/sleepy"));
    client.end_sending();
    CHECK(body_of(client.read_all()) == "awake");
    TestClient streaming(server.port());
    streaming.send(get("/stream"));
    streaming.end_sending();
    CHECK(dechunked(body_of(streaming.read_all())) == kEvents);
    CHECK(server.n_disconnected == 0);
}

TEST_CASE("a client that ends its sending side and closes later is noticed") {
    TestServer server;
    TestClient client(server.port());
    client.send(get("/silent"));
    client.end_sending();
    REQUIRE(eventually([&] { return server.n_running == 1; }));
    client.close();
    CHECK(eventually([&] { return server.n_running == 0; }));
}

TEST_CASE("closing and ending the sending side are told apart over a unix socket") {
    const std::string path = std::filesystem::temp_directory_path() /
                             ("baltoro_stream_" + std::to_string(std::random_device()()));
    HttpServerOptions options = TestServer::short_times();
    options.unix_socket = path;
    TestServer server(options);
    TestClient half(path);
    half.send(get("/sleepy"));
    half.end_sending();
    CHECK(body_of(half.read_all()) == "awake");
    TestClient closing(path);
    closing.send(get("/silent"));
    REQUIRE(eventually([&] { return server.n_running == 1; }));
    closing.close();
    CHECK(eventually([&] { return server.n_running == 0; }));
}

TEST_CASE("a client that takes nothing is given up after the write time-out") {
    TestServer server;
    TestClient client(server.port());
    client.shrink_receive_buffer();
    client.send(get("/flood"));
    CHECK(eventually([&] { return server.n_gone == 1; }));
    TestClient other(server.port());
    other.send(get("/a"));
    CHECK(status_of(other.read_reply()) == 200);
    CHECK(eventually([&] { return server.server().n_connections() == 1; }));
}

TEST_CASE("a client that goes away ends a flood and leaves others alone") {
    TestServer server;
    std::vector<TestClient> clients;
    for (int i = 0; i < 8; ++i) {
        clients.emplace_back(server.port());
        clients.back().send(get("/flood"));
        clients.back().read_until("xxxx");
    }
    TestClient other(server.port());
    other.send(get("/stream", "Connection: close\r\n"));
    CHECK(dechunked(body_of(other.read_all())) == kEvents);
    for (TestClient& client : clients)
        client.close();
    CHECK(eventually([&] { return server.n_gone == 8; }));
}
