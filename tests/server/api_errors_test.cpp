#include "server/api_errors.h"

#include <string>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

using nlohmann::json;
using namespace baltoro::server;

TEST_CASE("an overflow says what OpenAI's clients look for") {
    const ApiError error = context_overflow(4096, 5000);
    const json body = json::parse(openai_error_body(error)).at("error");
    CHECK(error.status == 400);
    CHECK(body.at("code") == "context_length_exceeded");
    CHECK(body.at("message").get<std::string>().find("maximum context length is 4096 tokens") !=
          std::string::npos);
    CHECK(anthropic_overflow_message(4096, 5000) ==
          "prompt is too long: 5000 tokens > 4096 maximum");
}

TEST_CASE("an error without code and parameter has nulls there") {
    ApiError error;
    error.message = "bad";
    const json body = json::parse(openai_error_body(error)).at("error");
    CHECK(body.at("code").is_null());
    CHECK(body.at("param").is_null());
    CHECK(body.at("type") == "invalid_request_error");
}

TEST_CASE("Anthropic's error type follows from the status") {
    ApiError error;
    error.status = 503;
    error.message = "full";
    const json body = json::parse(anthropic_error_body(error, "req_1"));
    CHECK(body.at("type") == "error");
    CHECK(body.at("error").at("type") == "overloaded_error");
    CHECK(body.at("request_id") == "req_1");
}
