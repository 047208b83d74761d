#pragma once

#include <algorithm>
#include <string>
#include <string_view>

#include "base/random.h"

namespace baltoro::testing {

// Requests from which random ones are made. None asks for HEAD, whose replies cannot be told apart
// without knowing the request.
inline std::string valid_request(Random& random) {
    const std::string host = "Host: localhost\r\n";
    const std::string json = "Content-Type: application/json\r\n";
    switch (random.below(7)) {
        case 0:
            return "GET /a HTTP/1.1\r\n" + host + "\r\n";
        case 1:
            return "POST /b?c=d HTTP/1.1\r\n" + host + json + "Content-Length: 7\r\n\r\n{\"a\":1}";
        case 2:
            return "POST /c HTTP/1.1\r\n" + host + json +
                   "Transfer-Encoding: chunked\r\n\r\n3;x=y\r\n{\"a\r\n4\r\n\":1}\r\n0\r\nX: "
                   "y\r\n\r\n";
        case 3:
            return "GET /d HTTP/1.0\r\n" + host + "Connection: keep-alive\r\n\r\n";
        case 4:
            return "POST /e HTTP/1.1\r\n" + host + json +
                   "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n{}";
        case 5:
            return "GET /stream HTTP/1.1\r\n" + host + "Connection: close\r\n\r\n";
        default:
            return "OPTIONS * HTTP/1.1\r\n" + host + "Origin: http://localhost\r\n\r\n";
    }
}

// Bytes that mean something to HTTP, or look as if they did.
inline std::string_view piece_of_http(Random& random) {
    using namespace std::string_view_literals;
    constexpr std::string_view kPieces[] = {
        "\r\n"sv,
        "\n"sv,
        "\r"sv,
        "\0"sv,
        "\r\n\r\n"sv,
        " "sv,
        "\t"sv,
        ":"sv,
        ","sv,
        ";"sv,
        "\""sv,
        "0\r\n\r\n"sv,
        "ffffffffffffffff\r\n"sv,
        "-1"sv,
        "18446744073709551616"sv,
        "Content-Length: 5\r\n"sv,
        "Content-Length: 99999999999\r\n"sv,
        "Transfer-Encoding: chunked\r\n"sv,
        "Transfer-Encoding: gzip\r\n"sv,
        "Expect: 100-continue\r\n"sv,
        "Connection: close\r\n"sv,
        "Connection: upgrade\r\nUpgrade: h2c\r\n"sv,
        "Host: localhost\r\n"sv,
        "Host: evil.example\r\n"sv,
        " HTTP/1.1\r\n"sv,
        "HTTP/2.0"sv,
        "\xff\xfe"sv,
        "%00%2e%2e"sv,
        "http://localhost/"sv,
    };
    return kPieces[random.below(std::size(kPieces))];
}

inline std::string random_bytes(Random& random, std::size_t n) {
    std::string bytes(n, '\0');
    for (char& c : bytes)
        c = static_cast<char>(random.below(256));
    return bytes;
}

// Changes a few places of `bytes`.
inline void mutate(std::string& bytes, Random& random) {
    for (std::uint64_t n = random.below(4); n > 0 && !bytes.empty(); --n) {
        const std::size_t at = random.below(bytes.size());
        const std::size_t size = 1 + random.below(std::min<std::size_t>(bytes.size() - at, 24));
        switch (random.below(6)) {
            case 0:
                bytes[at] = static_cast<char>(bytes[at] ^ (1 << random.below(8)));
                break;
            case 1:
                bytes.erase(at, size);
                break;
            case 2:
                bytes.insert(at, piece_of_http(random));
                break;
            case 3:
                bytes.insert(at, bytes.substr(at, size));
                break;
            case 4:
                bytes.insert(at, random_bytes(random, size));
                break;
            default:
                bytes.insert(at, std::string(random.below(20'000), bytes[at]));
        }
    }
}

// What a client may send on one connection: some requests, changed a little, or nothing sensible.
inline std::string random_client_bytes(Random& random) {
    if (random.below(16) == 0) return random_bytes(random, 1 + random.below(400));
    std::string bytes;
    for (std::uint64_t n = 1 + random.below(3); n > 0; --n) {
        std::string request = valid_request(random);
        mutate(request, random);
        bytes += request;
    }
    if (random.below(8) == 0) bytes.resize(random.below(bytes.size() + 1));
    return bytes;
}

}  // namespace baltoro::testing
