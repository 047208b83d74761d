#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "tests/server/http_test_client.h"
#include "tests/server/http_test_server.h"

using namespace baltoro::server;
using namespace std::chrono_literals;

TEST_CASE(
    "beyond the limit some connections are told so, more are closed, and all places come back") {
    constexpr int kPlaces = 4;
    constexpr int kRefusals = 64;  // that are being said at once
    constexpr int kMore = 20;
    HttpServerOptions options = TestServer::short_times();
    options.limits.n_connections = kPlaces;
    options.limits.linger_time = 60s;  // the refused stay as long as they like
    TestServer server(options);
    const std::size_t n_files = n_open_files();
    std::vector<TestClient> busy;
    for (int i = 0; i < kPlaces; ++i) {
        busy.emplace_back(server.port());
        busy.back().send(get("/silent"));
    }
    REQUIRE(eventually([&] { return server.n_running == kPlaces; }));

    std::vector<TestClient> refused;
    for (int i = 0; i < kRefusals; ++i) {
        refused.emplace_back(server.port());
        CHECK(status_of(refused.back().read_until("\r\n\r\n")) == 503);
    }
    for (int i = 0; i < kMore; ++i)
        CHECK(TestClient(server.port()).read_all() == "");
    CHECK(server.server().n_connections() == kPlaces + kRefusals);
    CHECK(server.n_running == kPlaces);

    refused.clear();
    busy.clear();
    REQUIRE(eventually([&] { return server.server().n_connections() == 0; }));
    CHECK(eventually([&] { return n_open_files() == n_files; }));
    TestClient next(server.port());
    next.send(get("/a"));
    CHECK(status_of(next.read_reply()) == 200);
}

TEST_CASE("silent connections give way to a request, however many there are") {
    HttpServerOptions options = TestServer::short_times();
    options.limits.n_connections = 20;
    options.limits.head_time = 60s;
    TestServer server(options);
    std::vector<TestClient> silent;
    for (int i = 0; i < 100; ++i)
        silent.emplace_back(server.port());
    TestClient client(server.port());
    client.send(get("/a"));
    CHECK(status_of(client.read_reply()) == 200);
}
