#include "server/prompt_builder.h"

#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "engine/engine.h"
#include "server/answer_vocabulary.h"
#include "tests/model/loaded_model.h"
#include "tests/server/chat_fixture.h"
#include "tests/server/refusal.h"
#include "tests/text/tokenizer_fixture.h"

using namespace baltoro;
using namespace baltoro::server;
using namespace baltoro::testing;

namespace {

// Kimi's markers over single bytes.
Tokenizer marked_bytes() {
    std::vector<std::pair<std::string, std::int32_t>> special;
    std::int32_t id = 256;
    for (const char* marker :
         {"<|im_end|>", "<|im_user|>", "<|im_assistant|>", "<|im_system|>", "<|im_middle|>",
          "<|tool_calls_section_begin|>", "<|tool_call_begin|>", "<|tool_call_argument_begin|>",
          "<|tool_call_end|>", "<|tool_calls_section_end|>", "<think>", "</think>"})
        special.emplace_back(marker, id++);
    return Tokenizer::from_ranks(byte_ranks(), special, "marked bytes");
}

// A server that is asked for prompts only; its engine idles.
struct Server {
    LoadedModel loaded{std::string(BALTORO_GOLDEN_DIR) + "/oracle/k2-tiny",
                       kernels::IsaLevel::scalar, 1, 64};
    Tokenizer tokenizer = marked_bytes();
    Engine engine{loaded.model, tokenizer, {}};
    AnswerVocabulary vocabulary{tokenizer, 512, {256}};

    std::string text(const std::vector<std::int32_t>& ids) const {
        std::string text;
        for (const std::int32_t id : ids)
            text += tokenizer.token_bytes(id);
        return text;
    }

    // The only request.
    Request request(ChatFormat format, ApiRequest api) {
        ServedModel model{engine, tokenizer, vocabulary, format, chat_limits()};
        model.limits.has_reasoning = true;
        std::vector<Request> requests = build_requests(model, api);
        REQUIRE(requests.size() == 1);
        return std::move(requests[0]);
    }

    // Prompt and forced beginning of the only answer.
    std::string beginning(ChatFormat format, const ApiRequest& api) {
        const Request made = request(format, api);
        return text(made.prompt) + text(made.forced);
    }
};

ApiRequest forced_request(bool thinking, bool continues_last) {
    ApiRequest api;
    api.messages_json = R"([{"role": "system", "content": "s"}, {"role": "user", "content": "u"}])";
    if (continues_last) {
        api.messages_json.back() = ',';
        api.messages_json += R"({"role": "assistant", "content": "Once"}])";
    }
    api.thinking = thinking;
    api.continues_last = continues_last;
    api.calls = ApiRequest::Calls::required;
    api.forced_tool = "f";
    api.request.format.tools.push_back({"f", ""});
    return api;
}

}  // namespace

TEST_CASE("a forced call stands behind exactly one empty thought") {
    Server server;
    const std::string user =
        "<|im_system|>system<|im_middle|>s<|im_end|><|im_user|>user<|im_middle|>u<|im_end|>"
        "<|im_assistant|>assistant<|im_middle|><think></think>";
    const std::string call =
        "<|tool_calls_section_begin|><|tool_call_begin|>functions.f:0<|tool_call_argument_begin|>";
    for (const ChatFormat format : {ChatFormat::k2_thinking, ChatFormat::k2_5}) {
        for (const bool thinking : {false, true}) {
            CAPTURE(static_cast<int>(format));
            CAPTURE(thinking);
            CHECK(server.beginning(format, forced_request(thinking, false)) == user + call);
            CHECK(server.beginning(format, forced_request(thinking, true)) == user + "Once" + call);
        }
    }
}

TEST_CASE("a message that goes on ends the prompt without an end of turn") {
    Server server;
    ApiRequest api = forced_request(true, true);
    api.calls = ApiRequest::Calls::automatic;
    CHECK(server.beginning(ChatFormat::k2_instruct, api).ends_with("<|im_middle|>Once"));
}

TEST_CASE("strict tools that may be called bring their grammars") {
    Server server;
    ApiRequest api = forced_request(true, false);
    api.request.format.tools = {{"f", R"({"type": "object"})"}, {"g", ""}, {"h", "{}"}};
    api.strict_tools = {"f", "h", "not allowed now"};
    const Request request = server.request(ChatFormat::k2_instruct, api);
    REQUIRE(request.strict_tools.size() == 2);
    CHECK(request.strict_tools[0].name == "f");
    CHECK(request.strict_tools[1].name == "h");
    CHECK(request.strict_tools[1].arguments != nullptr);

    api.calls = ApiRequest::Calls::none;
    CHECK(server.request(ChatFormat::k2_instruct, api).strict_tools.empty());
}

TEST_CASE("a strict tool whose schema cannot be followed is refused") {
    Server server;
    ApiRequest api = forced_request(true, false);
    api.request.format.tools = {{"f", R"({"type": "object", "not": {}})"}};
    CHECK(server.request(ChatFormat::k2_instruct, api).strict_tools.empty());
    api.strict_tools = {"f"};
    const ApiError error = refusal_of([&] { return server.request(ChatFormat::k2_instruct, api); });
    CHECK(error.status == 400);
    CHECK(error.param == "tools");
    CHECK(error.message.find("not") != std::string::npos);
}

TEST_CASE("prompts whose log-probabilities are asked for are bounded together") {
    Server server;
    ServedModel model{server.engine, server.tokenizer, server.vocabulary, ChatFormat::k2_instruct,
                      chat_limits()};
    model.limits.context_size = 1 << 20;
    ApiRequest api;
    api.input = ApiRequest::Input::tokens;
    api.tokens = {std::vector<std::int32_t>(kMaxScoredTokens / 2, 'x'),
                  std::vector<std::int32_t>(kMaxScoredTokens / 2, 'y')};
    api.request.scores_prompt = true;
    CHECK(build_requests(model, api).size() == 2);
    api.tokens[0].push_back('x');
    CHECK(refusal_of([&] { return build_requests(model, api); }).param == "logprobs");
    api.request.scores_prompt = false;
    CHECK(build_requests(model, api).size() == 2);
}
