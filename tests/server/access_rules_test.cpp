#include "server/access_rules.h"

#include <string>

#include <doctest/doctest.h>

using namespace baltoro::server;

namespace {

HttpRequest request_to(const std::string& host) {
    HttpRequest request;
    request.method = "GET";
    request.path = "/v1/models";
    request.local_host = "127.0.0.1";
    if (!host.empty()) request.headers.push_back({"host", host});
    return request;
}

int status(const AccessRules& rules, const HttpRequest& request) {
    const auto error = rules.refusal(request);
    return error ? error->status : 200;
}

AccessRules rules_on(const std::string& host, int port, AccessOptions options = {}) {
    AccessRules rules(std::move(options));
    rules.listen_on(host, port);
    return rules;
}

struct Case {
    const char* text;
    int status;
};

}  // namespace

TEST_CASE("only loopback names pass as Host on a loopback address") {
    const AccessRules rules = rules_on("127.0.0.1", 8080);
    const Case cases[] = {
        {"127.0.0.1", 200},
        {"127.0.0.1:8080", 200},
        {"127.0.0.1:1", 200},
        {"localhost", 200},
        {"LocalHost:8080", 200},
        {"[::1]", 200},
        {"[::1]:8080", 200},
        {"0.0.0.0", 403},
        {"0.0.0.0:8080", 403},
        {"127.0.0.2", 403},
        {"evil.example", 403},
        {"evil.example:8080", 403},
        {"localhost.evil.example", 403},
        {"127.0.0.1.evil.example", 403},
        {"localhost:", 403},
        {"localhost:80a", 403},
        {"localhost:123456", 403},
        {"localhost:80:80", 403},
        {"::1", 403},
        {"[::1", 403},
        {"[::1]x", 403},
        {"[::]", 403},
        {"user@localhost", 403},
        {"localhost/", 403},
        {"localhost.", 403},
        {"", 403},
        {":8080", 403},
        {"2130706433", 403},
        {"0x7f.1", 403},
        {"\xff\xfe", 403},
        {"192.168.1.5", 403},
    };
    for (const Case& c : cases) {
        CAPTURE(c.text);
        CHECK(status(rules, request_to(c.text)) == c.status);
    }
}

TEST_CASE("the address listened on and added hosts pass as Host") {
    const AccessRules rules =
        rules_on("192.168.1.5", 8080, {{"gpu.lan", "box.lan:9000", "fe80::1"}, {}, {}});
    const Case cases[] = {
        {"192.168.1.5:8080", 200}, {"192.168.1.5", 200},  {"gpu.lan", 200},   {"GPU.lan:1234", 200},
        {"box.lan:9000", 200},     {"box.lan:9001", 403}, {"box.lan", 403},   {"[fe80::1]:80", 200},
        {"192.168.1.6", 403},      {"localhost", 200},    {"a.gpu.lan", 403},
    };
    for (const Case& c : cases) {
        CAPTURE(c.text);
        CHECK(status(rules, request_to(c.text)) == c.status);
    }
}

TEST_CASE("a server on all addresses answers for the one that was connected to") {
    for (const char* any : {"0.0.0.0", "::", "[::]"}) {
        CAPTURE(any);
        const AccessRules rules = rules_on(any, 8080);
        HttpRequest request = request_to("10.1.2.3:8080");
        CHECK(status(rules, request) == 403);
        request.local_host = "10.1.2.3";
        CHECK(status(rules, request) == 200);
        CHECK(status(rules, request_to(any)) == 403);
    }
    HttpRequest v6 = request_to("[fd00::7]:8080");
    v6.local_host = "fd00::7";
    CHECK(status(rules_on("::", 8080), v6) == 200);
}

TEST_CASE("any Host passes over a unix socket") {
    HttpRequest request = request_to("whatever");
    request.over_unix = true;
    CHECK(status(rules_on("127.0.0.1", 8080), request) == 200);
}

TEST_CASE("only loopback origins of the server's port and allowed ones pass") {
    const AccessRules rules = rules_on("127.0.0.1", 8080, {{}, {"https://ui.example:8443"}, {}});
    const Case cases[] = {
        {"http://127.0.0.1:8080", 200},
        {"http://localhost:8080", 200},
        {"http://[::1]:8080", 200},
        {"HTTP://LOCALHOST:8080", 200},
        {"https://ui.example:8443", 200},
        {"https://UI.example:8443", 200},
        {"http://localhost", 403},
        {"http://localhost:8081", 403},
        {"https://localhost:8080", 403},
        {"http://ui.example:8443", 403},
        {"https://ui.example", 403},
        {"null", 403},
        {"", 403},
        {"http://evil.example:8080", 403},
        {"http://localhost:8080/", 403},
        {"http://localhost:8080.evil.example", 403},
        {"http://0.0.0.0:8080", 403},
        {"file://", 403},
        {"http://localhost:08080", 403},
        {"chrome-extension://abc", 403},
        {"http://a@localhost:8080", 403},
        {"http://", 403},
    };
    for (const Case& c : cases) {
        CAPTURE(c.text);
        HttpRequest request = request_to("localhost");
        request.headers.push_back({"Origin", c.text});
        CHECK(status(rules, request) == c.status);
    }
}

TEST_CASE("an origin without a port means port 80, and two origins are foreign") {
    HttpRequest request = request_to("localhost");
    request.headers.push_back({"Origin", "http://localhost"});
    CHECK(status(rules_on("127.0.0.1", 80), request) == 200);
    request.headers.push_back({"Origin", "http://localhost"});
    CHECK(status(rules_on("127.0.0.1", 80), request) == 403);
}

TEST_CASE("a key is taken as a bearer token or as x-api-key") {
    const AccessRules rules = rules_on("127.0.0.1", 8080, {{}, {}, {"first", "second-key"}});
    const struct {
        const char* name;
        const char* value;
        int status;
    } cases[] = {
        {"Authorization", "Bearer first", 200},
        {"authorization", "bearer second-key", 200},
        {"x-api-key", "second-key", 200},
        {"X-Api-Key", "first", 200},
        {"Authorization", "Bearer  first", 200},
        {"Authorization", "Bearer firs", 401},
        {"Authorization", "Bearer firstt", 401},
        {"Authorization", "Bearer First", 401},
        {"Authorization", "Bearer firstfirst", 401},
        {"Authorization", "first", 401},
        {"Authorization", "Basic first", 401},
        {"Authorization", "Bearer", 401},
        {"Authorization", "Bearer ", 401},
        {"Authorization", "Bearer first second-key", 401},
        {"x-api-key", "", 401},
        {"x-api-key", "\xff\x80", 401},
        {"cookie", "first", 401},
    };
    for (const auto& c : cases) {
        CAPTURE(c.name);
        CAPTURE(c.value);
        HttpRequest request = request_to("localhost");
        request.headers.push_back({c.name, c.value});
        CHECK(status(rules, request) == c.status);
    }
    CHECK(status(rules, request_to("localhost")) == 401);
}

TEST_CASE("an empty key among the options opens nothing") {
    HttpRequest request = request_to("localhost");
    CHECK(status(rules_on("127.0.0.1", 8080, {{}, {}, {""}}), request) == 401);
    request.headers.push_back({"x-api-key", ""});
    CHECK(status(rules_on("127.0.0.1", 8080, {{}, {}, {""}}), request) == 401);
}

TEST_CASE("only the paths of health checks need no key") {
    const AccessRules rules = rules_on("127.0.0.1", 8080, {{}, {}, {"key"}});
    const Case cases[] = {
        {"/", 200},         {"/health", 200},
        {"/healthz", 200},  {"/readyz", 200},
        {"/health/", 401},  {"//", 401},
        {"/Health", 401},   {"/health/../v1/models", 401},
        {"/%68ealth", 401}, {"/v1/chat/completions", 401},
        {"*", 401},
    };
    for (const Case& c : cases) {
        CAPTURE(c.text);
        HttpRequest request = request_to("localhost");
        request.path = c.text;
        CHECK(status(rules, request) == c.status);
    }
}

TEST_CASE("a posted body needs to be announced as JSON") {
    const AccessRules rules = rules_on("127.0.0.1", 8080);
    const Case cases[] = {
        {"application/json", 200},
        {"Application/JSON; charset=utf-8", 200},
        {"application/json ;charset=utf-8", 200},
        {"text/plain", 415},
        {"text/plain; application/json", 415},
        {"application/x-www-form-urlencoded", 415},
        {"multipart/form-data; boundary=x", 415},
        {"application/jsonp", 415},
        {"application/json, text/plain", 415},
        {"", 415},
    };
    for (const Case& c : cases) {
        CAPTURE(c.text);
        HttpRequest request = request_to("localhost");
        request.method = "POST";
        request.has_body = true;
        request.headers.push_back({"Content-Type", c.text});
        CHECK(status(rules, request) == c.status);
    }
    HttpRequest bare = request_to("localhost");
    bare.method = "POST";
    CHECK(status(rules, bare) == 200);
    bare.has_body = true;
    CHECK(status(rules, bare) == 415);
}
