#include <string>

#include <doctest/doctest.h>

#include "tests/server/http_test_client.h"
#include "tests/server/http_test_server.h"

using namespace baltoro::server;
using namespace std::string_literals;

namespace {

// A request that hides behind a bad one if the two are told apart wrongly.
const std::string kHidden = "GET /hidden HTTP/1.1\r\nHost: localhost\r\n\r\n";

const std::string kPost =
    "POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";

std::string chunked(const std::string& body) {
    return kPost + "Transfer-Encoding: chunked\r\n\r\n" + body;
}

struct Case {
    std::string bytes;
    int status;
};

// One reply with that status, the end of the connection, and no call of the handler.
void check_refused(TestServer& server, const Case& c) {
    CAPTURE(c.bytes.substr(0, 200));
    const int n_before = server.n_calls;
    TestClient client(server.port());
    client.send(c.bytes);
    const std::string replies = client.read_all();
    CHECK(status_of(replies) == c.status);
    CHECK(n_replies(replies) == 1);
    CHECK(header_of(replies, "Connection") == "close");
    CHECK(replies.find("/hidden") == std::string::npos);
    CHECK(server.n_calls == n_before);
}

std::string fields(int n) {
    std::string text;
    for (int i = 0; i < n; ++i)
        text += "X-" + std::to_string(i) + ": a\r\n";
    return text;
}

}  // namespace

TEST_CASE("a head that can be read in two ways is refused and ends the connection") {
    TestServer server;
    const Case cases[] = {
        // Framing.
        {kPost + "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + kHidden, 400},
        {kPost + "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n" + kHidden, 400},
        {kPost + "Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcd" + kHidden, 400},
        {kPost + "Content-Length: 4\r\nContent-Length: 4\r\n\r\nabcd" + kHidden, 400},
        {kPost + "Content-Length: 4, 5\r\n\r\nabcd" + kHidden, 400},
        {kPost + "Content-Length: 4, 4\r\n\r\nabcd" + kHidden, 400},
        {kPost + "Content-Length: +4\r\n\r\nabcd" + kHidden, 400},
        {kPost + "Content-Length: -4\r\n\r\nabcd" + kHidden, 400},
        {kPost + "Content-Length: 0x4\r\n\r\nabcd" + kHidden, 400},
        {kPost + "Content-Length: 4 4\r\n\r\nabcd" + kHidden, 400},
        {kPost + "Content-Length: 4a\r\n\r\nabcd" + kHidden, 400},
        {kPost + "Content-Length:\r\n\r\n" + kHidden, 400},
        {kPost + "Content-Length: 18446744073709551620\r\n\r\nabcd" + kHidden, 400},
        {kPost + "Content-Length: \xff\xfe\r\n\r\nabcd" + kHidden, 400},
        {kPost + "Content-Length\x0b: 4\r\n\r\nabcd" + kHidden, 400},
        // Transfer codings.
        {kPost + "Transfer-Encoding: gzip\r\n\r\n" + kHidden, 501},
        {kPost + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n" + kHidden, 501},
        {kPost + "Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n" + kHidden, 501},
        {kPost + "Transfer-Encoding: identity\r\n\r\n" + kHidden, 501},
        {kPost + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + kHidden, 501},
        {kPost + "Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n" + kHidden, 501},
        {kPost + "Transfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n" + kHidden, 501},
        {kPost + "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n" + kHidden, 400},
        {kPost + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
        {kPost + "Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n0\r\n\r\n", 400},
        {kPost + "Transfer-Encoding: ,chunked\r\n\r\n0\r\n\r\n" + kHidden, 400},
        {kPost + "Transfer-Encoding:\r\n\r\n" + kHidden, 400},
        {kPost + "Transfer-Encoding: \x0b" + "chunked\r\n\r\n0\r\n\r\n" + kHidden, 400},
        {kPost + "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n" + kHidden, 400},
        {"POST /x HTTP/1.0\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
        // Lines.
        {"GET / HTTP/1.1\nHost: localhost\n\n" + kHidden, 400},
        {"GET / HTTP/1.1\r\nHost: localhost\nX: y\r\n\r\n" + kHidden, 400},
        {"GET / HTTP/1.1\r\nHost: localhost\r\nX: a\rb\r\n\r\n" + kHidden, 400},
        {"GET / HTTP/1.1\r\nHost: localhost\r\nX: a\r\r\n\r\n" + kHidden, 400},
        {"GET / HTTP/1.1\r\nHost: localhost\r\nX: a\r\n b\r\n\r\n" + kHidden, 400},
        {"GET / HTTP/1.1\r\nHost: localhost\r\nX: a\r\n\tb\r\n\r\n" + kHidden, 400},
        {"GET / HTTP/1.1\r\n Host: localhost\r\n\r\n" + kHidden, 400},
        {"\r\n\r\nGET / HTTP/1.1\r\nHost: localhost\r\n\r\n" + kHidden, 400},
        {"GET / HTTP/1.1\r\nHost: localhost\r\nX: a\0b\r\n\r\n"s + kHidden, 400},
        {"GET / HTTP/1.1\r\nHost: localhost\r\nX\0: a\r\n\r\n"s + kHidden, 400},
        {"GET /\0 HTTP/1.1\r\nHost: localhost\r\n\r\n"s + kHidden, 400},
        {"\0"s, 400},
        {"GET / HTTP/1.1\r\nHost: localhost\r\nX: a\x01\r\n\r\n" + kHidden, 400},
        {"GET / HTTP/1.1\r\nHost: localhost\r\nX: a\x7f\r\n\r\n" + kHidden, 400},
        // Fields.
        {"GET / HTTP/1.1\r\nHost: localhost\r\nX : a\r\n\r\n" + kHidden, 400},
        {"GET / HTTP/1.1\r\nHost: localhost\r\nX\t: a\r\n\r\n" + kHidden, 400},
        {"GET / HTTP/1.1\r\nHost: localhost\r\nX\r\n\r\n" + kHidden, 400},
        {"GET / HTTP/1.1\r\nHost: localhost\r\n: a\r\n\r\n" + kHidden, 400},
        {"GET / HTTP/1.1\r\nHost: localhost\r\nX(y): a\r\n\r\n" + kHidden, 400},
        {"GET / HTTP/1.1\r\nHost: localhost\r\nX\xc3\xa4: a\r\n\r\n" + kHidden, 400},
        {"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: \xff,;\r\n\r\n" + kHidden, 400},
        {"GET / HTTP/1.1\r\n\r\n" + kHidden, 400},
        {"GET / HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n" + kHidden, 400},
        {"GET / HTTP/1.1\r\nHost: localhost\r\nhost: evil.example\r\n\r\n" + kHidden, 400},
        // Request lines.
        {"GET /\r\nHost: localhost\r\n\r\n" + kHidden, 400},
        {"GET\r\nHost: localhost\r\n\r\n" + kHidden, 400},
        {"GET  / HTTP/1.1\r\nHost: localhost\r\n\r\n" + kHidden, 400},
        {"GET /  HTTP/1.1\r\nHost: localhost\r\n\r\n" + kHidden, 400},
        {"GET\t/ HTTP/1.1\r\nHost: localhost\r\n\r\n" + kHidden, 400},
        {" GET / HTTP/1.1\r\nHost: localhost\r\n\r\n" + kHidden, 400},
        {"GET / HTTP/1.1 \r\nHost: localhost\r\n\r\n" + kHidden, 400},
        {"GET /a b HTTP/1.1\r\nHost: localhost\r\n\r\n" + kHidden, 400},
        {"GET / http/1.1\r\nHost: localhost\r\n\r\n" + kHidden, 400},
        {"GET / HTTP/2.0\r\nHost: localhost\r\n\r\n" + kHidden, 400},
        {"GET / HTTP/1.2\r\nHost: localhost\r\n\r\n" + kHidden, 400},
        {"GET / HTTP/11\r\nHost: localhost\r\n\r\n" + kHidden, 400},
        {"GET / HTTP/0.9\r\n\r\n" + kHidden, 400},
        {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400},
        {"GET * HTTP/1.1\r\nHost: localhost\r\n\r\n" + kHidden, 400},
        {"GET x HTTP/1.1\r\nHost: localhost\r\n\r\n" + kHidden, 400},
        {"GET http://evil.example/ HTTP/1.1\r\nHost: localhost\r\n\r\n" + kHidden, 400},
        {"GET /#a HTTP/1.1\r\nHost: localhost\r\n\r\n" + kHidden, 400},
        {"GET /\xc3\xa4\xff HTTP/1.1\r\nHost: localhost\r\n\r\n" + kHidden, 400},
        {"CONNECT evil.example:443 HTTP/1.1\r\nHost: localhost\r\n\r\n" + kHidden, 400},
        {"G(T / HTTP/1.1\r\nHost: localhost\r\n\r\n" + kHidden, 400},
        {std::string(33, 'A') + " / HTTP/1.1\r\nHost: localhost\r\n\r\n" + kHidden, 400},
        {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\n"s, 400},  // TLS
    };
    static_assert(std::size(cases) >= 60);
    for (const Case& c : cases)
        check_refused(server, c);
}

TEST_CASE("bad chunks are refused and end the connection") {
    TestServer server;
    const Case cases[] = {
        {chunked("x\r\n\r\n" + kHidden), 400},
        {chunked("\r\n" + kHidden), 400},
        {chunked("-1\r\na\r\n0\r\n\r\n" + kHidden), 400},
        {chunked("0x1\r\na\r\n0\r\n\r\n" + kHidden), 400},
        {chunked(" 1\r\na\r\n0\r\n\r\n" + kHidden), 400},
        {chunked("1\na\r\n0\r\n\r\n" + kHidden), 400},
        {chunked("1\r\na\n0\r\n\r\n" + kHidden), 400},
        {chunked("1\r\nab\r\n0\r\n\r\n" + kHidden), 400},
        {chunked("1\r\na0\r\n\r\n" + kHidden), 400},
        {chunked("ffffffffffffffff1\r\na\r\n0\r\n\r\n" + kHidden), 400},
        {chunked("1;\r\na\r\n0\r\n\r\n" + kHidden), 400},
        {chunked("1;a\x01\r\na\r\n0\r\n\r\n" + kHidden), 400},
        {chunked("1;a\nb\r\na\r\n0\r\n\r\n" + kHidden), 400},
        {chunked("1;a=" + std::string(40'000, 'b')), 400},
        {chunked("0\r\nX : y\r\n\r\n" + kHidden), 400},
        {chunked("0\r\nContent-Length: 5\r\n\r\n" + kHidden), 400},
        {chunked("0\r\nX: " + std::string(70'000, 'y')), 400},
        {chunked("fffffffffffffff\r\na"), 413},
        {chunked("4000001\r\na"), 413},
    };
    for (const Case& c : cases)
        check_refused(server, c);
}

TEST_CASE("a request that is too large is refused by the part that is") {
    TestServer server;
    const std::string long_path = "/" + std::string(8 << 10, 'a');
    const std::string start = "GET / HTTP/1.1\r\nHost: localhost\r\n";
    const Case cases[] = {
        {"GET " + long_path + " HTTP/1.1\r\nHost: localhost\r\n\r\n", 414},
        {"GET " + long_path, 414},
        {std::string(9 << 10, 'A'), 414},
        {start + "X: " + std::string(64 << 10, 'a') + "\r\n\r\n", 431},
        {start + "X: " + std::string(64 << 10, 'a'), 431},
        {start + "X: " + std::string(1 << 20, 'a') + "\r\n\r\n", 431},
        {start + fields(100) + "\r\n", 431},
        {start + fields(5000), 431},
        {kPost + "Content-Length: 67108865\r\n\r\n", 413},
        {kPost + "Content-Length: 999999999999999999\r\n\r\n", 413},
    };
    for (const Case& c : cases)
        check_refused(server, c);
}

TEST_CASE("a request at the limits is served") {
    TestServer server;
    TestClient client(server.port());
    client.send(get("/" + std::string(8100, 'a'), fields(99)));
    CHECK(status_of(client.read_reply()) == 200);
    client.send(get("/", "X: " + std::string(65'000, 'a') + "\r\n"));
    CHECK(status_of(client.read_reply()) == 200);
}

TEST_CASE("a body of 64 MB is read and one byte more in chunks is not") {
    TestServer server{HttpServerOptions{}};  // a sanitizer's build may need more than 150 ms
    const std::string body(64 << 20, 'b');
    TestClient client(server.port());
    client.send(post("/x", body));
    CHECK(client.read_reply().size() > body.size());
    const std::string piece = "100000\r\n" + std::string(1 << 20, 'c') + "\r\n";
    std::string pieces;
    for (int i = 0; i < 64; ++i)
        pieces += piece;
    client.send(chunked(pieces + "1\r\nd\r\n0\r\n\r\n"));
    CHECK(status_of(client.read_all()) == 413);
}

TEST_CASE("forms that are unusual but have one meaning are served") {
    TestServer server;
    const struct {
        std::string bytes;
        std::string body;
    } cases[] = {
        {"\r\nGET /a HTTP/1.1\r\nHost: localhost\r\n\r\n", "GET /a "},
        {"GET /a?b=/c?d HTTP/1.1\r\nhOST:localhost\r\n\r\n", "GET /a?b=/c?d "},
        {"GET /a HTTP/1.1\r\nHost: \t localhost \t\r\nX:\r\n\r\n", "GET /a "},
        {"GET /a HTTP/1.1\r\nHost: localhost\r\nX: \xff\xc3\xa4\r\n\r\n", "GET /a "},
        {"PURGE /a HTTP/1.1\r\nHost: localhost\r\n\r\n", "PURGE /a "},
        {"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n", "OPTIONS * "},
        {"GET /%2e%2e//..;x HTTP/1.1\r\nHost: localhost\r\n\r\n", "GET /%2e%2e//..;x "},
        {"GET /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nxyz", "GET /a xyz"},
        {chunked("3\r\nabc\r\n2;ext=\"q\"\r\nde\r\n0\r\n\r\n"), "POST /x abcde"},
        {chunked("0003\r\nabc\r\n000\r\nTrailer: x\r\n\r\n"), "POST /x abc"},
        {chunked("A\r\n0123456789\r\n0\r\n\r\n"), "POST /x 0123456789"},
        {chunked("0\r\n\r\n"), "POST /x "},
        {kPost + "Content-Length: 0003\r\n\r\n\xff\xfe\xfd", "POST /x \xff\xfe\xfd"},
        {kPost + "transfer-encoding: CHUNKED\r\n\r\n1\r\na\r\n0\r\n\r\n", "POST /x a"},
    };
    TestClient client(server.port());
    for (const auto& c : cases) {
        CAPTURE(c.bytes);
        client.send(c.bytes);
        CHECK(body_of(client.read_reply()) == c.body);
    }
}

TEST_CASE("a request may come byte by byte") {
    TestServer server;
    TestClient client(server.port());
    for (const char c : chunked("3;a=b\r\nabc\r\n2\r\nde\r\n0\r\nX: y\r\n\r\n")) {
        client.send(std::string(1, c));
    }
    CHECK(body_of(client.read_reply()) == "POST /x abcde");
}

TEST_CASE("100-continue is answered when the body is wanted and refused early when not") {
    TestServer server;
    TestClient client(server.port());
    client.send(kPost + "Content-Length: 2\r\nExpect: 100-continue\r\n\r\n");
    CHECK(client.read_until("\r\n\r\n") == "HTTP/1.1 100 Continue\r\n\r\n");
    client.send("{}");
    CHECK(body_of(client.read_reply()) == "POST /x {}");
    client.send(kPost + "Content-Length: 99999999\r\nExpect: 100-continue\r\n\r\n");
    CHECK(status_of(client.read_all()) == 413);

    TestClient other(server.port());
    other.send(kPost + "Content-Length: 2\r\nExpect: 200-ok\r\n\r\n");
    CHECK(status_of(other.read_all()) == 417);
}

TEST_CASE("a head or body that stops coming is answered with 408") {
    TestServer server;
    for (const char* part : {"GET / HT", "GET / HTTP/1.1\r\nHost: localhost\r\n"}) {
        check_refused(server, {part, 408});
    }
    check_refused(server, {kPost + "Content-Length: 5\r\n\r\nab", 408});
    check_refused(server, {chunked("5\r\nab"), 408});
    // Beast looks for the closing quote beyond the line.
    check_refused(server, {chunked("1;a=\"\r\na\r\n0\r\n\r\n" + kHidden), 408});
}

TEST_CASE("a connection on which nothing comes is closed without a reply") {
    HttpServerOptions options = TestServer::short_times();
    options.limits.idle_time = std::chrono::milliseconds(50);
    TestServer server(options);
    CHECK(TestClient(server.port()).read_all() == "");
    TestClient used(server.port());
    used.send(get("/a"));
    CHECK(status_of(used.read_reply()) == 200);
    CHECK(used.read_all() == "");
}

TEST_CASE("a request that ends too early is answered with 400") {
    TestServer server;
    for (const std::string& part : {"GET / HT"s, kPost + "Content-Length: 5\r\n\r\nab"}) {
        CAPTURE(part);
        TestClient client(server.port());
        client.send(part);
        client.end_sending();
        CHECK(status_of(client.read_all()) == 400);
    }
    CHECK(server.n_calls == 0);
}
