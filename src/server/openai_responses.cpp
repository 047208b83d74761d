#include "server/openai_responses.h"

#include <string>

#include "server/json_fields.h"
#include "server/openai_options.h"
#include "server/openai_response_items.h"
#include "server/openai_tools.h"

namespace baltoro::server {
namespace {

constexpr std::size_t kMaxItems = std::size_t{1} << 16;

void read_input(const Fields& body, const ApiLimits& limits, ApiRequest& request) {
    ResponseItems items(limits.has_reasoning);
    if (const std::string* instructions = body.string("instructions"))
        if (!instructions->empty()) items.add_text("system", *instructions);
    const Field input = body.require("input");
    if (input.is_string()) {
        items.add_text("user", input.string());
    } else {
        if (!input.is_array()) input.refuse("must be a string or an array of items");
        for (const Field& item : input.array(kMaxItems))
            items.add(item.object());
    }
    if (items.is_empty()) input.refuse("must have at least 1 item that this model reads");
    request.n_past_calls = items.n_calls();
    request.messages_json = items.text();
}

void read_text_format(const Fields& body, ApiRequest& request) {
    const std::optional<Fields> text = body.object("text");
    if (!text) return;
    const std::optional<Fields> format = text->object("format");
    if (!format) return;
    const Field type = format->require("type");
    if (type.string() == "json_schema") {
        request.response_schema = json_text(format->require("schema").object().json());
    } else if (type.string() == "json_object") {
        request.response_schema = "{}";
    } else if (type.string() != "text") {
        type.refuse("must be text, json_object or json_schema");
    }
}

// There is no store behind this server.
void refuse_state(const Fields& body) {
    for (const char* key : {"previous_response_id", "conversation", "prompt"})
        if (const auto field = body.find(key))
            field->refuse("is not supported: this server keeps no responses", "unsupported");
    if (body.boolean("background").value_or(false))
        refuse("background", "background is not supported: this server keeps no responses",
               "unsupported");
}

void read_sampling(const Fields& body, const ApiLimits& limits, ApiRequest& request) {
    SamplingOptions& sampling = request.request.sampling;
    sampling.temperature = body.number("temperature", 0, 2).value_or(limits.temperature);
    sampling.top_p = body.number("top_p", 0, 1).value_or(limits.top_p);
    sampling.top_k = limits.top_k;
    sampling.seed = random_seed();
    request.request.max_tokens = read_token_limit(body, "max_output_tokens", limits).value_or(0);
}

}  // namespace

ApiRequest parse_responses_request(std::string_view text, const ApiLimits& limits) {
    const Json tree = require_body(text);
    const Fields body(tree);
    ApiRequest request;
    request.input = ApiRequest::Input::messages;
    refuse_state(body);
    read_model(body, limits, request);
    read_input(body, limits, request);
    read_tools(body, ToolShape::flat, request);
    read_text_format(body, request);
    read_sampling(body, limits, request);
    if (const auto reasoning = body.object("reasoning"))
        if (const std::string* effort = reasoning->string("effort"))
            request.thinking = *effort != "none";
    request.stream = body.boolean("stream").value_or(false);
    request.request.kind = AnswerKind::chat;
    request.request.format.has_reasoning = limits.has_reasoning;
    return request;
}

}  // namespace baltoro::server
