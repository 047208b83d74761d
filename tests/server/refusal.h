#pragma once

#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "server/json_fields.h"

namespace baltoro::server {

// The refusal of `get`, which must refuse.
template <class Get>
ApiError refusal_of(Get get) {
    try {
        (void)get();
    } catch (const RequestError& error) {
        return error.refusal();
    }
    FAIL("nothing was refused");
    return {};
}

// What may be wrong with any field: JSON texts of a value.
inline std::vector<std::string> hostile_values() {
    const std::string deep(100, '[');
    return {"true",
            "false",
            "0",
            "-1",
            "1.5",
            "-1e300",
            "1e999",
            "9223372036854775807",
            "9223372036854775808",
            "-9223372036854775809",
            "123456789012345678901234567890",
            "NaN",
            "-Infinity",
            "null",
            R"("")",
            R"("NaN")",
            R"("\u0000")",
            R"("\ud800")",
            R"("\udc00\ud800")",
            "\"\xc0\xaf\"",
            "\"\xed\xa0\x80\"",
            "\"\xff\"",
            '"' + std::string(1'000'000, 'a') + '"',
            "[]",
            "{}",
            "[null]",
            "[true]",
            "[[]]",
            "[{}]",
            R"([""])",
            R"([1, "a"])",
            R"({"type": 1})",
            R"({"type": "x"})",
            R"({"type": "function"})",
            R"({"": {"": null}})",
            deep + std::string(100, ']'),
            std::string(10'000, '['),
            std::string(10'000, '[') + std::string(10'000, ']')};
}

// Parses the request or checks that it is refused as it must be: 400 or, for a model's name, 404;
// with a parameter's name if the body is JSON at all; any other exception fails the test.
template <class Parse>
void check_parses_or_refuses(const std::string& body, Parse parse) {
    const bool is_json = parse_body(body).has_value();
    try {
        (void)parse(body);
        CHECK(is_json);
    } catch (const RequestError& error) {
        const ApiError& refusal = error.refusal();
        CHECK((refusal.status == 400 || refusal.code == "model_not_found"));
        CHECK(refusal.param.empty() == !is_json);
        CHECK(!refusal.message.empty());
        CHECK(refusal.message.size() < 300);
    }
}

}  // namespace baltoro::server
