#include "server/openai_completions.h"

#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "tests/server/refusal.h"

using namespace baltoro;
using namespace baltoro::server;

namespace {

ApiLimits test_limits() {
    ApiLimits limits;
    limits.context_size = 100;
    limits.vocab_size = 1000;
    limits.served_model = "kimi-k2";
    return limits;
}

ApiRequest parsed(const std::string& body) {
    return parse_completions_request(body, test_limits());
}

ApiError refused(const std::string& body) {
    return refusal_of([&] { return parsed(body); });
}

std::string repeated(const std::string& item, int count) {
    std::string list = "[" + item;
    for (int i = 1; i < count; i++)
        list += "," + item;
    return list + "]";
}

}  // namespace

TEST_CASE("a prompt is a text, texts, ids or lists of ids") {
    using Texts = std::vector<std::string>;
    using Tokens = std::vector<std::vector<std::int32_t>>;
    CHECK(parsed(R"({"prompt": "a"})").texts == Texts{"a"});
    CHECK(parsed(R"({"prompt": "a"})").input == ApiRequest::Input::text);
    CHECK(parsed(R"({"prompt": ["a", "b"]})").texts == Texts{"a", "b"});
    CHECK(parsed(R"({"prompt": [1, 999]})").tokens == Tokens{{1, 999}});
    CHECK(parsed(R"({"prompt": [1]})").input == ApiRequest::Input::tokens);
    CHECK(parsed(R"({"prompt": [[1, 2], [3]]})").tokens == Tokens{{1, 2}, {3}});
}

TEST_CASE("bad prompts are refused by their place") {
    CHECK(refused("{}").param == "prompt");
    CHECK(refused(R"({"prompt": ""})").param == "prompt");
    CHECK(refused(R"({"prompt": []})").param == "prompt");
    CHECK(refused(R"({"prompt": {}})").param == "prompt");
    CHECK(refused(R"({"prompt": [[]]})").param == "prompt[0]");
    CHECK(refused(R"({"prompt": ["a", ""]})").param == "prompt[1]");
    CHECK(refused(R"({"prompt": ["a", 1]})").param == "prompt[1]");
    CHECK(refused(R"({"prompt": [1, "a"]})").param == "prompt");
    CHECK(refused(R"({"prompt": [1000]})").param == "prompt");
    CHECK(refused(R"({"prompt": [-1]})").param == "prompt");
    CHECK(refused(R"({"prompt": [[1], 2]})").param == "prompt[1]");
    CHECK(refused(R"({"prompt": [[1, 1.5]]})").param == "prompt[0]");
}

TEST_CASE("prompts are refused before they fan out") {
    CHECK(parsed(R"({"prompt": )" + repeated("\"a\"", 64) + "}").texts.size() == 64);
    CHECK(refused(R"({"prompt": )" + repeated("\"a\"", 65) + "}").param == "prompt");
    CHECK(refused(R"({"n": 2, "prompt": )" + repeated("\"a\"", 33) + "}").param == "n");
    CHECK(refused(R"({"prompt": "a", "best_of": 1000000})").param == "best_of");
    CHECK(refused(R"({"prompt": "a", "best_of": 2})").param == "best_of");
    CHECK(parsed(R"({"prompt": "a", "best_of": 2, "n": 2})").n == 2);
}

TEST_CASE("ids beyond the context are an overflow") {
    const ApiError refusal = refused(R"({"prompt": )" + repeated("1", 101) + "}");
    CHECK(refusal.code == "context_length_exceeded");
    CHECK(refusal.param == "prompt");
}

TEST_CASE("completions have defaults and options of their own") {
    CHECK(parsed(R"({"prompt": "a"})").request.max_tokens == 16);
    CHECK(parsed(R"({"prompt": "a", "max_tokens": 3})").request.max_tokens == 3);
    CHECK(parsed(R"({"prompt": "a"})").request.kind == AnswerKind::text);
    CHECK(parsed(R"({"prompt": "a"})").request.n_top_logprobs == -1);
    CHECK(parsed(R"({"prompt": "a", "logprobs": 5})").request.n_top_logprobs == 5);
    CHECK(parsed(R"({"prompt": "a", "echo": true})").echo);
    CHECK(parsed(R"({"prompt": "a", "suffix": ""})").texts.size() == 1);
    CHECK(refused(R"({"prompt": "a", "logprobs": 6})").param == "logprobs");
    CHECK(refused(R"({"prompt": "a", "logprobs": true})").param == "logprobs");
    CHECK(refused(R"({"prompt": "a", "suffix": "b"})").param == "suffix");
}

TEST_CASE("echo with logprobs asks for those of the prompt, and then no token need follow") {
    CHECK(parsed(R"({"prompt": "a", "echo": true, "logprobs": 0})").request.scores_prompt);
    CHECK(!parsed(R"({"prompt": "a", "echo": true})").request.scores_prompt);
    CHECK(!parsed(R"({"prompt": "a", "logprobs": 1})").request.scores_prompt);
    const ApiRequest scored =
        parsed(R"({"prompt": "a", "echo": true, "logprobs": 1, "max_tokens": 0})");
    CHECK(scored.request.prompt_only);
    CHECK(!parsed(R"({"prompt": "a", "echo": true, "logprobs": 1})").request.prompt_only);
    CHECK(parsed(R"({"prompt": "a", "echo": true, "logprobs": 1})").request.max_tokens == 16);
    CHECK(refused(R"({"prompt": "a", "logprobs": 1, "max_tokens": 0})").param == "max_tokens");
    CHECK(refused(R"({"prompt": "a", "echo": true, "max_tokens": -1})").param == "max_tokens");
}

TEST_CASE("every field of completions survives every hostile value") {
    for (const char* field : {"model",
                              "prompt",
                              "stream",
                              "stream_options",
                              "max_tokens",
                              "temperature",
                              "top_p",
                              "stop",
                              "seed",
                              "presence_penalty",
                              "frequency_penalty",
                              "logprobs",
                              "logit_bias",
                              "n",
                              "best_of",
                              "echo",
                              "suffix",
                              "top_k",
                              "min_p",
                              "repetition_penalty",
                              "ignore_eos",
                              "min_tokens",
                              "unknown"}) {
        for (const std::string& value : hostile_values()) {
            CAPTURE(field);
            CAPTURE(value.substr(0, 60));
            const std::string rest =
                std::string_view(field) == "prompt" ? "" : "\"prompt\": \"a\",";
            check_parses_or_refuses("{" + rest + '"' + field + "\": " + value + "}", parsed);
        }
    }
}

TEST_CASE("every list of prompts survives every hostile item") {
    for (const std::string& value : hostile_values()) {
        CAPTURE(value.substr(0, 60));
        check_parses_or_refuses(R"({"prompt": [)" + value + "]}", parsed);
        check_parses_or_refuses(R"({"prompt": ["a", )" + value + "]}", parsed);
        check_parses_or_refuses(R"({"prompt": [1, )" + value + "]}", parsed);
        check_parses_or_refuses(R"({"prompt": [[1, )" + value + "]]}", parsed);
    }
}
