#include "server/openai_chat.h"

#include <string>

#include "server/json_fields.h"
#include "server/openai_messages.h"
#include "server/openai_options.h"
#include "server/openai_tools.h"

namespace baltoro::server {
namespace {

constexpr std::string_view kNameCharacters =
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";
constexpr std::size_t kMaxModalities = 16;

std::string schema_text(const std::optional<Fields>& schema) {
    return schema ? json_text(schema->json()) : "{}";
}

void read_response_format(const Fields& body, ApiRequest& request) {
    const std::optional<Fields> format = body.object("response_format");
    if (!format) return;
    const Field type = format->require("type");
    if (type.string() == "json_object") {
        request.response_schema = schema_text(format->object("schema"));  // llama.cpp's extension
    } else if (type.string() == "json_schema") {
        const Fields schema = format->require("json_schema").object();
        const std::optional<Field> name = schema.find("name");
        if (name && (name->string().empty() || name->string().size() > 64 ||
                     name->string().find_first_not_of(kNameCharacters) != std::string::npos))
            name->refuse("must be 1 to 64 letters, digits, _ and -");
        (void)schema.boolean("strict");
        request.response_schema = schema_text(schema.object("schema"));
    } else if (type.string() != "text") {
        type.refuse("must be text, json_object or json_schema");
    }
}

void read_logprobs(const Fields& body, Request& request) {
    const std::optional<std::int64_t> n_top = body.integer("top_logprobs", 0, 20);
    if (body.boolean("logprobs").value_or(false)) {
        request.n_top_logprobs = static_cast<int>(n_top.value_or(0));
    } else if (n_top.value_or(0) > 0) {
        refuse("top_logprobs", "top_logprobs needs logprobs to be true");
    }
}

// {"type": "enabled" | "disabled", ...}, Kimi's own switch.
void read_thinking(const Fields& fields, ApiRequest& request) {
    const std::optional<Fields> thinking = fields.object("thinking");
    if (!thinking) return;
    if (const std::string* type = thinking->string("type")) request.thinking = *type != "disabled";
}

// Of a template's variables only the one that the built-in templates have. A template from a
// request would be a program from a stranger (CVE-2025-61620).
void read_template_fields(const Fields& body, ApiRequest& request) {
    if (const std::string* effort = body.string("reasoning_effort"))
        request.thinking = *effort != "none";
    read_thinking(body, request);
    if (body.find("chat_template")) refuse("chat_template", "chat_template cannot be replaced");
    const std::optional<Fields> kwargs = body.object("chat_template_kwargs");
    if (!kwargs) return;
    if (const auto replaced = kwargs->find("chat_template")) replaced->refuse("cannot be replaced");
    if (const auto enabled = kwargs->boolean("enable_thinking")) request.thinking = *enabled;
    const std::optional<Field> thinking = kwargs->find("thinking");
    if (!thinking) return;
    if (thinking->is_object()) return read_thinking(*kwargs, request);
    request.thinking = thinking->boolean();
}

void refuse_audio(const Fields& body) {
    const auto modalities = body.array("modalities", kMaxModalities);
    if (!modalities) return;
    for (const Field& modality : *modalities) {
        if (modality.string() != "text")
            modality.refuse("must be text; this model writes nothing else", "unsupported_content");
    }
}

}  // namespace

ApiRequest parse_chat_request(std::string_view text, const ApiLimits& limits) {
    const Json tree = require_body(text);
    const Fields body(tree);
    ApiRequest request;
    request.input = ApiRequest::Input::messages;
    read_openai_options(body, limits, request);
    read_messages(body, limits, request);
    read_tools(body, ToolShape::nested, request);
    read_response_format(body, request);
    read_logprobs(body, request.request);
    read_template_fields(body, request);
    refuse_audio(body);
    request.request.kind = AnswerKind::chat;
    request.request.format.has_reasoning = limits.has_reasoning;
    return request;
}

}  // namespace baltoro::server
