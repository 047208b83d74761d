#include "server/http_server.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <doctest/doctest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "tests/server/http_test_client.h"
#include "tests/server/http_test_server.h"

using namespace baltoro::server;
using namespace std::chrono_literals;
using nlohmann::json;

namespace {

// A folder of its own for socket files.
class TemporaryFolder {
  public:
    TemporaryFolder() {
        std::string name = std::filesystem::temp_directory_path() / "baltoro_http_XXXXXX";
        path_ = ::mkdtemp(name.data());
    }
    ~TemporaryFolder() { std::filesystem::remove_all(path_); }
    TemporaryFolder(const TemporaryFolder&) = delete;
    TemporaryFolder& operator=(const TemporaryFolder&) = delete;
    std::string file(const char* name) const { return path_ / name; }

  private:
    std::filesystem::path path_;
};

HttpServerOptions on_unix(const std::string& path) {
    HttpServerOptions options = TestServer::short_times();
    options.host.clear();
    options.unix_socket = path;
    return options;
}

// What a socket file looks like when its program was killed.
void leave_stale_socket(const std::string& path) {
    const int socket = ::socket(AF_UNIX, SOCK_STREAM, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    REQUIRE(::bind(socket, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    ::close(socket);
}

std::string start_error(HttpServerOptions options) {
    HttpServer server(std::move(options), nullptr);
    try {
        server.start();
    } catch (const baltoro::Error& error) {
        return error.what();
    }
    return "";
}

}  // namespace

TEST_CASE("a connection serves one request after the other") {
    TestServer server;
    TestClient client(server.port());
    for (const char* path : {"/a", "/b?c", "/d"}) {
        client.send(get(path));
        const std::string reply = client.read_reply();
        CHECK(status_of(reply) == 200);
        CHECK(header_of(reply, "Content-Type") == "application/json");
        CHECK(header_of(reply, "Date").size() == 29);
        CHECK(body_of(reply) == std::string("GET ") + path + " ");
    }
    CHECK(server.server().n_connections() == 1);
}

TEST_CASE("Connection: close and HTTP/1.0 end the connection, keep-alive keeps it") {
    TestServer server;
    TestClient closing(server.port());
    closing.send(get("/a", "Connection: close\r\n"));
    CHECK(header_of(closing.read_all(), "Connection") == "close");
    TestClient old(server.port());
    old.send("GET /a HTTP/1.0\r\nHost: localhost\r\nConnection: keep-alive\r\n\r\n");
    CHECK(header_of(old.read_reply(), "Connection") == "keep-alive");
    old.send("GET /a HTTP/1.0\r\nHost: localhost\r\n\r\n");
    CHECK(body_of(old.read_all()) == "GET /a ");
}

TEST_CASE("pipelined requests are answered in order") {
    TestServer server;
    TestClient client(server.port());
    client.send(get("/sleepy") + post("/b", "{1}") + get("/stream") + get("/d"));
    CHECK(body_of(client.read_reply()) == "awake");
    CHECK(body_of(client.read_reply()) == "POST /b {1}");
    const std::string head = client.read_until("\r\n\r\n");
    CHECK(dechunked(client.read_until("0\r\n\r\n")) == "data: 1\n\ndata: 2\n\ndata: [DONE]\n\n");
    CHECK(body_of(client.read_reply()) == "GET /d ");
}

TEST_CASE("HEAD gets the head of the reply only") {
    TestServer server;
    TestClient client(server.port());
    client.send("HEAD / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    CHECK(header_of(client.read_until("\r\n\r\n"), "Content-Length") == "7");
    client.send("HEAD /stream HTTP/1.1\r\nHost: localhost\r\n\r\n");
    CHECK(status_of(client.read_until("\r\n\r\n")) == 200);
    client.send(get("/c", "Connection: close\r\n"));
    CHECK(n_replies(client.read_all()) == 1);
}

TEST_CASE("OPTIONS gets 405 with Allow and no CORS header") {
    TestServer server;
    TestClient client(server.port());
    client.send("OPTIONS /options HTTP/1.1\r\nHost: localhost\r\n\r\n");
    const std::string reply = client.read_reply();
    CHECK(status_of(reply) == 405);
    CHECK(header_of(reply, "Allow") == "GET, HEAD");
    CHECK(reply.find("Access-Control") == std::string::npos);
}

TEST_CASE("the rules of access apply, with errors in the shape of the path's API") {
    HttpServerOptions options = TestServer::short_times();
    options.access.api_keys = {"key"};
    TestServer server(options);
    TestClient client(server.port());
    client.send(get("/v1/models"));
    const std::string openai = client.read_reply();
    CHECK(status_of(openai) == 401);
    CHECK(json::parse(body_of(openai)).at("error").at("code") == "invalid_api_key");
    client.send(get("/v1/messages?beta=true"));
    const std::string anthropic = client.read_reply();
    const json body = json::parse(body_of(anthropic));
    CHECK(body.at("error").at("type") == "authentication_error");
    CHECK(body.at("request_id") == header_of(anthropic, "request-id"));
    CHECK(header_of(anthropic, "request-id").size() == 28);
    client.send(get("/health"));
    CHECK(status_of(client.read_reply()) == 200);
    client.send(get("/v1/models", "x-api-key: key\r\n"));
    CHECK(status_of(client.read_reply()) == 200);
    client.send(get("/v1/models", "x-api-key: key\r\nOrigin: https://evil.example\r\n"));
    CHECK(status_of(client.read_reply()) == 403);
    client.send("GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n");
    CHECK(status_of(client.read_reply()) == 403);
    client.send(get("/", "Origin: http://localhost:" + std::to_string(server.port()) + "\r\n"));
    CHECK(status_of(client.read_reply()) == 200);
    client.send("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}");
    CHECK(status_of(client.read_all()) == 415);
}

TEST_CASE("a handler's exception becomes 500 without its text") {
    TestServer server;
    for (const char* path : {"/throw", "/nothing", "/bad-header"}) {
        CAPTURE(path);
        TestClient client(server.port());
        client.send(get(path));
        const std::string reply = client.read_all();
        CHECK(status_of(reply) == 500);
        CHECK(n_replies(reply) == 1);
        CHECK(json::parse(body_of(reply)).at("error").at("type") == "server_error");
        CHECK(reply.find("canary") == std::string::npos);
        CHECK(reply.find("X-Injected") == std::string::npos);
    }
}

TEST_CASE("a handler's exception within a stream cuts the stream") {
    TestServer server;
    TestClient client(server.port());
    client.send(get("/throw-late"));
    const std::string reply = client.read_all();
    CHECK(dechunked(body_of(reply)) == "data: 1\n\n<cut>");
}

TEST_CASE("a unix socket is for its owner and goes away with the server") {
    const TemporaryFolder folder;
    const std::string path = folder.file("s");
    {
        TestServer server(on_unix(path));
        struct stat status {};
        REQUIRE(::stat(path.c_str(), &status) == 0);
        CHECK((status.st_mode & 0777) == 0600);
        TestClient client(path);
        client.send("GET /a HTTP/1.1\r\nHost: anything\r\n\r\n");
        CHECK(body_of(client.read_reply()) == "GET /a ");
        CHECK(start_error(on_unix(path)).find("another program listens") != std::string::npos);
        CHECK(std::filesystem::exists(path));
    }
    CHECK(!std::filesystem::exists(path));
}

TEST_CASE("a stale unix socket is replaced and another file is not") {
    const TemporaryFolder folder;
    const std::string path = folder.file("s");
    leave_stale_socket(path);
    {
        TestServer server(on_unix(path));
        TestClient client(path);
        client.send(get("/a"));
        CHECK(status_of(client.read_reply()) == 200);
    }
    std::ofstream(path) << "text";
    CHECK(start_error(on_unix(path)).find("another kind of file") != std::string::npos);
    CHECK(std::filesystem::file_size(path) == 4);
    CHECK(start_error(on_unix(folder.file("no/s"))) != "");
    CHECK(start_error(on_unix(std::string(200, 'x'))).find("1 to 107 bytes") != std::string::npos);
}

TEST_CASE("an address that cannot be listened on is one clear error") {
    TestServer server;
    HttpServerOptions options;
    options.port = server.port();
    CHECK(start_error(options).find("another program listens there") != std::string::npos);
    options.port = 70'000;
    CHECK(start_error(options).find("no such port") != std::string::npos);
    options.port = 0;
    for (const char* host : {"example.com", "1.2.3", "127.0.0.1:80", "::1::", "203.0.113.9"}) {
        CAPTURE(host);
        options.host = host;
        CHECK(start_error(options).find("cannot listen on") == 0);
    }
}

TEST_CASE("300 idle connections do not hinder a request") {
    TestServer server;
    std::vector<TestClient> idle;
    for (int i = 0; i < 300; ++i) {
        idle.emplace_back(server.port());
        idle.back().send(get("/a"));
        REQUIRE(status_of(idle.back().read_reply()) == 200);
    }
    TestClient client(server.port());
    client.send(get("/b"));
    CHECK(body_of(client.read_reply()) == "GET /b ");
    CHECK(server.server().n_connections() == 301);
    idle.front().send(get("/c"));
    CHECK(body_of(idle.front().read_reply()) == "GET /c ");
}

TEST_CASE("the oldest idle connection gives way to one too many") {
    HttpServerOptions options = TestServer::short_times();
    options.limits.n_connections = 3;
    TestServer server(options);
    std::vector<TestClient> clients;
    for (int i = 0; i < 4; ++i) {
        clients.emplace_back(server.port());
        clients.back().send(get("/a"));
        REQUIRE(status_of(clients.back().read_reply()) == 200);
        // A reply comes before its connection is idle.
        const std::size_t n_idle = std::min(i + 1, 3);
        REQUIRE(eventually([&] { return server.server().n_idle_connections() == n_idle; }));
    }
    CHECK(clients[0].read_all() == "");
    clients[1].send(get("/a"));
    CHECK(status_of(clients[1].read_reply()) == 200);
}

TEST_CASE("when all connections are busy, one too many gets 503") {
    HttpServerOptions options = TestServer::short_times();
    options.limits.n_connections = 2;
    TestServer server(options);
    std::vector<TestClient> clients;
    for (int i = 0; i < 2; ++i) {
        clients.emplace_back(server.port());
        clients.back().send(get("/silent"));
    }
    REQUIRE(eventually([&] { return server.n_running == 2; }));
    TestClient other(server.port());
    const std::string reply = other.read_all();
    CHECK(status_of(reply) == 503);
    CHECK(header_of(reply, "Retry-After") == "1");
    clients[0].close();
    REQUIRE(eventually([&] { return server.server().n_connections() == 1; }));
    TestClient next(server.port());
    next.send(get("/a"));
    CHECK(status_of(next.read_reply()) == 200);
}

TEST_CASE("no descriptor is left of connections however they end") {
    const std::size_t n_before = n_open_files();
    {
        TestServer server;
        const std::size_t n_started = n_open_files();
        for (int i = 0; i < 500; ++i) {
            TestClient client(server.port());
            if (i % 5 == 1) client.send(get("/a"));
            if (i % 5 == 2) client.send("GET / HT");
            if (i % 5 == 3) client.send(get("/silent"));
            if (i % 5 == 4) client.send(post("/a", "0123456789").substr(0, 120));
            if (i % 2 == 0) client.reset();
        }
        CHECK(eventually([&] { return server.server().n_connections() == 0; }));
        CHECK(eventually([&] { return n_open_files() == n_started; }));
        CHECK(server.n_running == 0);
    }
    CHECK(n_open_files() == n_before);
}

TEST_CASE("draining lets a running request finish and takes no more") {
    TestServer server;
    TestClient idle(server.port());
    idle.send(get("/a"));
    CHECK(status_of(idle.read_reply()) == 200);
    TestClient client(server.port());
    client.send(get("/sleepy"));
    REQUIRE(eventually([&] { return server.n_calls == 2; }));
    const int port = server.port();
    std::thread draining([&] { server.server().drain(10s); });
    const std::string reply = client.read_all();
    client.close();
    draining.join();
    CHECK(body_of(reply) == "awake");
    CHECK(header_of(reply, "Connection") == "close");
    CHECK(idle.read_all() == "");
    CHECK_THROWS(TestClient(port));
}

TEST_CASE("draining ends requests that take longer than allowed") {
    TestServer server;
    TestClient client(server.port());
    client.send(get("/silent"));
    REQUIRE(eventually([&] { return server.n_running == 1; }));
    server.server().drain(50ms);
    CHECK(client.read_all() == "");
    CHECK(server.n_disconnected == 1);
    CHECK(server.n_running == 0);
}

TEST_CASE("stopping ends all requests, also those of handlers that do not listen") {
    HttpServerOptions options = TestServer::short_times();
    options.limits.stop_time = 20ms;
    TestServer server(options);
    TestClient silent(server.port());
    TestClient deaf(server.port());
    TestClient partial(server.port());
    silent.send(get("/silent"));
    deaf.send(get("/sleepy"));
    partial.send("GET /");
    REQUIRE(eventually([&] { return server.n_running == 2; }));
    server.server().stop();
    CHECK(server.n_running == 0);
    CHECK(silent.read_all() == "");
    CHECK(deaf.read_all() == "");
    CHECK(partial.read_all() == "");
}
