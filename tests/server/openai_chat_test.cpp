#include "server/openai_chat.h"

#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "tests/server/chat_fixture.h"
#include "tests/server/refusal.h"

using namespace baltoro;
using namespace baltoro::server;
using namespace baltoro::testing;

namespace {

ApiRequest parsed(const std::string& fields, const ApiLimits& limits = chat_limits()) {
    return parse_chat_request("{" + kHello + (fields.empty() ? "" : ", " + fields) + "}", limits);
}

ApiError refused(const std::string& fields) {
    return refusal_of([&] { return parsed(fields); });
}

}  // namespace

TEST_CASE("a request without options gets the model's defaults") {
    const ApiRequest request = parsed("");
    CHECK(request.input == ApiRequest::Input::messages);
    CHECK(request.messages_json == R"([{"role":"user","content":"hi"}])");
    CHECK(request.tools_json.empty());
    CHECK(request.model == "kimi-k2");
    CHECK(request.system_fingerprint == "fp_test");
    CHECK(!request.stream);
    CHECK(request.n == 1);
    CHECK(request.request.sampling.temperature == 0.6);
    CHECK(request.request.sampling.repetition_penalty == 1.0);
    CHECK(request.request.max_tokens == 0);
    CHECK(request.request.n_top_logprobs == -1);
    CHECK(request.request.kind == AnswerKind::chat);
    CHECK(request.response_schema.empty());
}

TEST_CASE("sampling options are taken over") {
    const SamplingOptions options =
        parsed(R"("temperature": 0, "top_p": 0.5, "top_k": 40, "min_p": 0.1, "seed": -1,
                  "presence_penalty": -2, "frequency_penalty": 2, "repetition_penalty": 1.1,
                  "logit_bias": {"7": -100, "999": 5.5})")
            .request.sampling;
    CHECK(options.temperature == 0.0);
    CHECK(options.top_p == 0.5);
    CHECK(options.top_k == 40);
    CHECK(options.min_p == 0.1);
    CHECK(options.seed == ~0ull);
    CHECK(options.presence_penalty == -2.0);
    CHECK(options.frequency_penalty == 2.0);
    CHECK(options.repetition_penalty == 1.1);
    using Biases = std::vector<std::pair<std::int32_t, float>>;
    CHECK(options.logit_bias == Biases{{7, -100.0f}, {999, 5.5f}});
    CHECK(parsed(R"("top_k": -1)").request.sampling.top_k == 0);
}

TEST_CASE("without a seed two requests draw differently") {
    CHECK(parsed("").request.sampling.seed != parsed("").request.sampling.seed);
    CHECK(parsed(R"("seed": 5)").request.sampling.seed == 5);
}

TEST_CASE("sampling options out of range are refused by name") {
    for (const char* key : {"temperature", "top_p", "min_p", "presence_penalty",
                            "frequency_penalty", "repetition_penalty", "top_k", "n", "seed",
                            "min_tokens", "max_tokens", "max_completion_tokens", "top_logprobs"}) {
        CAPTURE(key);
        const std::string name = std::string("\"") + key + "\": ";
        CHECK(refused(name + "-1e30").param == key);
        CHECK(refused(name + "\"NaN\"").param == key);
        CHECK(refused(name + "1e30").param == key);
    }
    CHECK(refused(R"("n": 9)").param == "n");
    CHECK(refused(R"("n": 0)").param == "n");
    CHECK(refused(R"("temperature": 2.01)").param == "temperature");
    CHECK(refused(R"("repetition_penalty": 0)").param == "repetition_penalty");
}

TEST_CASE("a bias is refused outside the vocabulary and in excess") {
    CHECK(refused(R"("logit_bias": {"1000": 1})").param == "logit_bias");
    CHECK(refused(R"("logit_bias": {"-1": 1})").param == "logit_bias");
    CHECK(refused(R"("logit_bias": {"1x": 1})").param == "logit_bias");
    CHECK(refused(R"("logit_bias": {"": 1})").param == "logit_bias");
    CHECK(refused(R"("logit_bias": {"1": 101})").param == "logit_bias");
    CHECK(refused(R"("logit_bias": [1])").param == "logit_bias");
    std::string many = R"("logit_bias": {"0": 1)";
    for (int i = 1; i <= 1024; i++)
        many += ",\"" + std::to_string(i) + "\": 1";
    CHECK(refused(many + "}").message == "logit_bias must have at most 1024 entries");
}

TEST_CASE("the smaller limit counts and one past the context is cut") {
    CHECK(parsed(R"("max_tokens": 5)").request.max_tokens == 5);
    CHECK(parsed(R"("max_tokens": 5, "max_completion_tokens": 3)").request.max_tokens == 3);
    CHECK(parsed(R"("max_tokens": 2, "max_completion_tokens": 3)").request.max_tokens == 2);
    CHECK(parsed(R"("max_completion_tokens": 262144)").request.max_tokens == 4096);
    CHECK(parsed(R"("max_tokens": 9223372036854775807)").request.max_tokens == 4096);
    CHECK(refused(R"("max_tokens": 0)").param == "max_tokens");
    CHECK(parsed(R"("min_tokens": 7, "ignore_eos": true)").request.min_tokens == 7);
    CHECK(parsed(R"("ignore_eos": true)").request.ignore_eos);
}

TEST_CASE("stop is a text or up to 16, none of them empty") {
    using Stops = std::vector<std::string>;
    CHECK(parsed(R"("stop": "a")").request.stop == Stops{"a"});
    CHECK(parsed(R"("stop": ["a", "\n\n"])").request.stop == Stops{"a", "\n\n"});
    CHECK(parsed(R"("stop": null)").request.stop.empty());
    CHECK(parsed(R"("stop": [])").request.stop.empty());
    CHECK(refused(R"("stop": "")").param == "stop");
    CHECK(refused(R"("stop": ["a", ""])").param == "stop[1]");
    CHECK(refused(R"("stop": ["a", 1])").param == "stop[1]");
    CHECK(refused(R"("stop": 1)").param == "stop");
    CHECK(refused(R"("stop": ["1","2","3","4","5","6","7","8","9","10","11","12","13","14","15",
                              "16","17"])")
              .param == "stop");
}

TEST_CASE("any model's name is echoed unless the server is strict") {
    CHECK(parsed(R"("model": "gpt-4o")").model == "gpt-4o");
    ApiLimits strict = chat_limits();
    strict.strict_model = true;
    CHECK(parsed(R"("model": "kimi-k2")", strict).model == "kimi-k2");
    const ApiError refusal = refusal_of([&] { return parsed(R"("model": "gpt-4o")", strict); });
    CHECK(refusal.status == 404);
    CHECK(refusal.code == "model_not_found");
    CHECK(refusal.message.find("gpt") == std::string::npos);
}

TEST_CASE("streaming options are taken over") {
    const ApiRequest request =
        parsed(R"("stream": true, "stream_options": {"include_usage": true, "x": 1})");
    CHECK(request.stream);
    CHECK(request.include_usage);
    CHECK(refused(R"("stream": "true")").param == "stream");
    CHECK(refused(R"("stream_options": {"include_usage": 1})").param ==
          "stream_options.include_usage");
}

TEST_CASE("function tools are declared and others skipped") {
    const ApiRequest request = parsed(kTools);
    CHECK(Json::parse(request.tools_json) == Json::parse(R"([
        {"type": "function", "function": {"name": "read", "parameters": {"type": "object"}}},
        {"type": "function", "function": {"name": "write", "description": "Write it"}}])"));
    const std::vector<DeclaredTool>& tools = request.request.format.tools;
    REQUIRE(tools.size() == 2);
    CHECK(tools[0].name == "read");
    CHECK(tools[0].parameters_json == R"({"type":"object"})");
    CHECK(tools[1].parameters_json.empty());
    CHECK(request.calls == ApiRequest::Calls::automatic);
    CHECK(!request.request.format.drops_calls);
    CHECK(!request.request.one_call_only);
    CHECK(parsed(kTools + R"(, "parallel_tool_calls": false)").request.one_call_only);
}

TEST_CASE("tools that cannot be declared are refused") {
    const auto with_function = [](const std::string& function) {
        return refused(R"("tools": [{"type": "function", "function": )" + function + "}]").param;
    };
    CHECK(with_function("1") == "tools[0].function");
    CHECK(with_function("{}") == "tools[0].function.name");
    CHECK(with_function(R"({"name": "a b"})") == "tools[0].function.name");
    CHECK(with_function(R"({"name": "<|im_end|>"})") == "tools[0].function.name");
    CHECK(with_function(R"({"name": "f", "parameters": []})") == "tools[0].function.parameters");
    CHECK(with_function(R"({"name": "f", "strict": 1})") == "tools[0].function.strict");
    CHECK(refused(R"("tools": [1])").param == "tools[0]");
    CHECK(refused(R"("tools": {})").param == "tools");
}

TEST_CASE("tool_choice none drops calls and required demands them") {
    CHECK(parsed(kTools + R"(, "tool_choice": "none")").request.format.drops_calls);
    CHECK(parsed(kTools + R"(, "tool_choice": "required")").calls == ApiRequest::Calls::required);
    CHECK(parsed(kTools + R"(, "tool_choice": "auto")").calls == ApiRequest::Calls::automatic);
    CHECK(parsed("").request.format.drops_calls);
    CHECK(refused(kTools + R"(, "tool_choice": "some")").param == "tool_choice");
    CHECK(refused(kTools + R"(, "tool_choice": 1)").param == "tool_choice");
    CHECK(refused(R"("tool_choice": "required")").param == "tool_choice");
}

TEST_CASE("a named tool is forced if it was declared") {
    const ApiRequest request =
        parsed(kTools + R"(, "tool_choice": {"type": "function", "function": {"name": "write"}})");
    CHECK(request.calls == ApiRequest::Calls::required);
    CHECK(request.forced_tool == "write");
    CHECK(refused(kTools + R"(, "tool_choice": {"type": "function", "function": {"name": "x"}})")
              .param == "tool_choice.function.name");
    CHECK(refused(kTools + R"(, "tool_choice": {"type": "custom"})").param == "tool_choice.type");
}

TEST_CASE("allowed_tools narrows what may be called and keeps the prompt") {
    const auto choice = [](const std::string& mode, const std::string& names) {
        return kTools +
               R"(, "tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": ")" + mode +
               R"(", "tools": [)" + names + "]}}";
    };
    const std::string write = R"({"type": "function", "function": {"name": "write"}})";
    const ApiRequest request = parsed(choice("required", write));
    CHECK(request.forced_tool == "write");
    CHECK(request.request.format.tools.size() == 1);
    CHECK(Json::parse(request.tools_json).size() == 2);
    CHECK(parsed(choice("auto", write)).calls == ApiRequest::Calls::automatic);
    CHECK(refused(choice("auto", "")).param == "tool_choice.allowed_tools.tools");
    CHECK(refused(choice("auto", R"({"function": {"name": "x"}})")).param ==
          "tool_choice.allowed_tools.tools[0].function.name");
}

TEST_CASE("response_format becomes a schema") {
    CHECK(parsed(R"("response_format": {"type": "text"})").response_schema.empty());
    CHECK(parsed(R"("response_format": {"type": "json_object"})").response_schema == "{}");
    CHECK(parsed(R"("response_format": {"type": "json_schema", "json_schema": {"name": "a",
                    "schema": {"type": "object", "properties": {"z": {}, "a": {}}}}})")
              .response_schema == R"({"type":"object","properties":{"z":{},"a":{}}})");
    CHECK(refused(R"("response_format": {"type": "xml"})").param == "response_format.type");
    CHECK(refused(R"("response_format": {})").param == "response_format.type");
    CHECK(refused(R"("response_format": {"type": "json_schema"})").param ==
          "response_format.json_schema");
    CHECK(refused(R"("response_format": {"type": "json_schema", "json_schema": {"name": "a b"}})")
              .param == "response_format.json_schema.name");
}

TEST_CASE("logprobs are off, of the drawn token or of alternatives") {
    CHECK(parsed(R"("logprobs": false, "top_logprobs": 0)").request.n_top_logprobs == -1);
    CHECK(parsed(R"("logprobs": true)").request.n_top_logprobs == 0);
    CHECK(parsed(R"("logprobs": true, "top_logprobs": 20)").request.n_top_logprobs == 20);
    CHECK(refused(R"("top_logprobs": 3)").param == "top_logprobs");
    CHECK(refused(R"("logprobs": true, "top_logprobs": 21)").param == "top_logprobs");
}

TEST_CASE("thinking can be switched in every spelling and templates cannot be replaced") {
    CHECK(parsed("").thinking);
    CHECK(!parsed(R"("thinking": {"type": "disabled"})").thinking);
    CHECK(parsed(R"("thinking": {"type": "enabled", "keep": "all"})").thinking);
    CHECK(!parsed(R"("reasoning_effort": "none")").thinking);
    CHECK(parsed(R"("reasoning_effort": "high")").thinking);
    CHECK(!parsed(R"("chat_template_kwargs": {"thinking": false})").thinking);
    CHECK(!parsed(R"("chat_template_kwargs": {"enable_thinking": false})").thinking);
    CHECK(!parsed(R"("chat_template_kwargs": {"thinking": {"type": "disabled"}})").thinking);
    CHECK(refused(R"("chat_template_kwargs": {"thinking": 1})").param ==
          "chat_template_kwargs.thinking");
    CHECK(refused(R"("chat_template": "{{ x }}")").param == "chat_template");
    CHECK(refused(R"("chat_template_kwargs": {"chat_template": ""})").param ==
          "chat_template_kwargs.chat_template");
}

TEST_CASE("unknown fields are ignored") {
    CHECK(parsed(R"("store": false, "user": "u", "metadata": {"a": 1}, "service_tier": 7,
                    "prompt_cache_key": "k", "return_progress": true, "xyz": [[]])")
              .messages_json == R"([{"role":"user","content":"hi"}])");
}

TEST_CASE("other modalities than text are refused") {
    CHECK(parsed(R"("modalities": ["text"])").n == 1);
    CHECK(refused(R"("modalities": ["text", "audio"])").code == "unsupported_content");
}

TEST_CASE("answers of models that think have reasoning") {
    ApiLimits thinker = chat_limits();
    thinker.has_reasoning = true;
    CHECK(parsed("", thinker).request.format.has_reasoning);
    CHECK(!parsed("").request.format.has_reasoning);
}
