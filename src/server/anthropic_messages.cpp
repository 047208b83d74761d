#include "server/anthropic_messages.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "server/anthropic_blocks.h"
#include "server/json_fields.h"
#include "server/openai_options.h"
#include "server/tool_declarations.h"

namespace baltoro::server {
namespace {

constexpr std::size_t kMaxMessages = std::size_t{1} << 16;
constexpr std::size_t kMaxTools = 1024;

using Calls = ApiRequest::Calls;

void read_messages(const Fields& body, const ApiLimits& limits, ApiRequest& request) {
    MessageList messages(limits.has_reasoning);
    if (const std::optional<Field> system = body.find("system")) messages.add_system(*system);
    const Field field = body.require("messages");
    const std::vector<Field> list = field.array(kMaxMessages);
    if (list.empty()) field.refuse("must have at least 1 item");
    const std::size_t n_before = messages.size();
    for (const Field& message : list)
        messages.add(message.object());
    if (messages.size() == n_before) field.refuse("has no content that this model reads");
    request.n_past_calls = messages.n_calls();
    request.continues_last = messages.ends_with_assistant_text();
    request.messages_json = messages.text();
}

// Tools of the API's own types (web search, bash, ...) run elsewhere; one that brings a schema can
// be called like any other.
void read_tools(const Fields& body, ApiRequest& request) {
    ToolDeclarations tools(request);
    if (const auto list = body.array("tools", kMaxTools)) {
        for (const Field& field : *list) {
            const Fields tool = field.object();
            if (tool.find("input_schema")) tools.add(tool, "input_schema");
        }
    }
    tools.finish();
    const std::optional<Fields> choice = body.object("tool_choice");
    if (choice) {
        const Field type = choice->require("type");
        if (type.string() == "any") {
            request.calls = Calls::required;
        } else if (type.string() == "none") {
            request.calls = Calls::none;
        } else if (type.string() == "tool") {
            request.calls = Calls::required;
            request.forced_tool = tools.declared_name(choice->require("name"));
        } else if (type.string() != "auto") {
            type.refuse("must be auto, any, tool or none");
        }
        request.request.one_call_only =
            choice->boolean("disable_parallel_tool_use").value_or(false);
    }
    tools.check_choice("tool_choice");
}

// Nobody who does not ask for thoughts gets any: templates that can do without have none written,
// and of others MessagesWriter shows none.
void read_thinking(const Fields& body, ApiRequest& request) {
    request.thinking = false;
    const std::optional<Fields> thinking = body.object("thinking");
    if (!thinking) return;
    const Field type = thinking->require("type");
    if (type.string() != "enabled" && type.string() != "adaptive" && type.string() != "disabled")
        type.refuse("must be enabled, adaptive or disabled");
    request.thinking = type.string() != "disabled";
}

void read_output_config(const Fields& body, ApiRequest& request) {
    const std::optional<Fields> config = body.object("output_config");
    if (!config) return;
    const std::optional<Fields> format = config->object("format");
    if (!format) return;
    const Field type = format->require("type");
    if (type.string() != "json_schema") type.refuse("must be json_schema");
    request.response_schema = json_text(format->require("schema").object().json());
}

void read_sampling(const Fields& body, const ApiLimits& limits, ApiRequest& request) {
    constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();
    SamplingOptions& sampling = request.request.sampling;
    sampling.temperature = body.number("temperature", 0, 1).value_or(limits.temperature);
    sampling.top_p = body.number("top_p", 0, 1).value_or(limits.top_p);
    sampling.top_k = static_cast<int>(std::min<std::int64_t>(
        body.integer("top_k", 0, kMost).value_or(limits.top_k), limits.vocab_size));
    sampling.seed = random_seed();
    read_stop_texts(body, "stop_sequences", request.request);
    constexpr int kUsualLimit = 4096;
    request.request.max_tokens = read_token_limit(body, "max_tokens", limits).value_or(kUsualLimit);
}

ApiRequest read_prompt(const Fields& body, const ApiLimits& limits) {
    ApiRequest request;
    request.input = ApiRequest::Input::messages;
    read_model(body, limits, request);
    read_messages(body, limits, request);
    read_tools(body, request);
    read_thinking(body, request);
    read_output_config(body, request);
    request.request.kind = AnswerKind::chat;
    request.request.format.has_reasoning = limits.has_reasoning;
    return request;
}

}  // namespace

ApiRequest parse_messages_request(std::string_view text, const ApiLimits& limits) {
    const Json tree = require_body(text);
    const Fields body(tree);
    ApiRequest request = read_prompt(body, limits);
    read_sampling(body, limits, request);
    request.stream = body.boolean("stream").value_or(false);
    return request;
}

ApiRequest parse_count_tokens_request(std::string_view text, const ApiLimits& limits) {
    const Json tree = require_body(text);
    return read_prompt(Fields(tree), limits);
}

}  // namespace baltoro::server
