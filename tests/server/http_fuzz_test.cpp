#include <set>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "server/request_head.h"
#include "tests/server/http_mutation.h"
#include "tests/server/http_test_client.h"
#include "tests/server/http_test_server.h"
#include "tests/server/test_seed.h"

using namespace baltoro;
using namespace baltoro::server;
using namespace baltoro::testing;

namespace {

// What the server may say to anything that its handler does not break on.
const std::set<int> kStatuses = {100, 200, 400, 403, 405, 408, 413, 414, 415, 417, 431, 501, 503};

// The bytes of the reply that `bytes` begins with; 0 if it does not begin with a whole one.
std::size_t reply_size(std::string_view bytes) {
    const std::size_t head_end = bytes.find("\r\n\r\n");
    const int status = status_of(bytes);
    if (head_end == std::string_view::npos || kStatuses.count(status) == 0) return 0;
    const std::size_t head_size = head_end + 4;
    const std::string_view head = bytes.substr(0, head_size);
    if (status == 100) return head_size;
    if (header_of(head, "Transfer-Encoding") == "chunked") {
        const std::size_t end = bytes.find("0\r\n\r\n", head_size);
        return end == std::string_view::npos ? 0 : end + 5;
    }
    const std::string length = header_of(head, "Content-Length");
    // The stream of an HTTP/1.0 request ends with the connection.
    if (length.empty()) return header_of(head, "Connection") == "close" ? bytes.size() : 0;
    const std::size_t size = head_size + std::stoul(length);
    return size <= bytes.size() ? size : 0;
}

// Whether the server said nothing but whole replies.
bool is_whole_replies(std::string_view bytes) {
    while (!bytes.empty()) {
        const std::size_t size = reply_size(bytes);
        if (size == 0) return false;
        bytes.remove_prefix(size);
    }
    return true;
}

struct FuzzedClient {
    TestClient client;
    std::string sent;
    bool waits;  // for the server to close, and expects whole replies
};

FuzzedClient open_client(int port, Random& random) {
    FuzzedClient fuzzed{TestClient(port), random_client_bytes(random), true};
    std::string_view rest = fuzzed.sent;
    while (!rest.empty()) {
        const std::size_t n = 1 + random.below(rest.size());
        fuzzed.client.send(rest.substr(0, n));
        rest.remove_prefix(n);
    }
    const std::uint64_t end = random.below(8);
    if (end < 3) fuzzed.client.end_sending();
    if (end == 3) fuzzed.client.close();
    if (end == 4) fuzzed.client.reset();
    fuzzed.waits = end != 3 && end != 4;
    return fuzzed;
}

}  // namespace

TEST_CASE("whatever clients send, each gets whole replies or the end of its connection") {
    HttpServerOptions options = TestServer::short_times();
    options.limits.idle_time = std::chrono::milliseconds(100);
    options.limits.all_bodies_bytes = 1 << 20;
    TestServer server(options);
    const std::size_t n_files = n_open_files();
    const std::uint64_t seed = test_seed();
    MESSAGE("seed ", seed);
    Random random(seed);
    for (int round = 0; round < 25; ++round) {
        std::vector<FuzzedClient> clients;
        for (int i = 0; i < 40; ++i)
            clients.push_back(open_client(server.port(), random));
        for (FuzzedClient& fuzzed : clients) {
            if (!fuzzed.waits) continue;
            const std::string replies = fuzzed.client.read_all();
            if (is_whole_replies(replies)) continue;
            CAPTURE(seed);
            CAPTURE(round);
            CAPTURE(fuzzed.sent.substr(0, 2000));
            CAPTURE(replies.substr(0, 2000));
            FAIL_CHECK("the server said something else than whole replies");
        }
    }
    TestClient after(server.port());
    after.send(get("/after"));
    CHECK(body_of(after.read_reply()) == "GET /after ");
    after.close();
    CHECK(eventually([&] { return server.server().n_connections() == 0; }));
    CHECK(eventually([&] { return n_open_files() == n_files; }));
    CHECK(server.server().n_body_bytes() == 0);
    CHECK(server.n_running == 0);
}

TEST_CASE("a request's head is judged alike however it is split") {
    const HttpLimits limits;
    const std::uint64_t seed = test_seed();
    MESSAGE("seed ", seed);
    Random random(seed);
    for (int i = 0; i < 3000; ++i) {
        std::string bytes = valid_request(random);
        mutate(bytes, random);
        RequestHead whole(limits);
        const RequestHead::State state = whole.feed(bytes);
        RequestHead split(limits);
        RequestHead::State split_state = RequestHead::State::incomplete;
        std::size_t n = 0;
        while (split_state == RequestHead::State::incomplete && n < bytes.size()) {
            n += 1 + random.below(std::min<std::size_t>(bytes.size() - n, 40));
            split_state = split.feed({bytes.data(), n});
        }
        if (split_state == state &&
            (state != RequestHead::State::complete ||
             (split.size() == whole.size() && split.n_skipped() == whole.n_skipped()))) {
            continue;
        }
        CAPTURE(seed);
        CAPTURE(i);
        CAPTURE(bytes.substr(0, 2000));
        FAIL_CHECK("the split head is judged differently");
    }
}
