#include "server/openai_responses_writer.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "base/check.h"
#include "server/call_arguments.h"
#include "server/carried_reasoning.h"
#include "server/json_fields.h"

namespace baltoro::server {
namespace {

// Two objects' texts as one object's.
std::string joined(std::string first, std::string_view second) {
    first.back() = ',';
    return first.append(second.substr(1));
}

// The Responses API has tools flat: {type, name, description, parameters, strict}.
Json flat_tools(const ApiRequest& request) {
    Json tools = Json::array();
    if (request.tools_json.empty()) return tools;
    const std::vector<std::string>& strict = request.strict_tools;
    for (const Json& tool : Json::parse(request.tools_json)) {
        Json flat = {{"type", "function"}};
        flat.update(tool.at("function"));
        if (!flat.contains("parameters")) flat["parameters"] = nullptr;
        flat["strict"] = std::find(strict.begin(), strict.end(), flat["name"]) != strict.end();
        tools.push_back(std::move(flat));
    }
    return tools;
}

Json tool_choice(const ApiRequest& request) {
    if (!request.forced_tool.empty()) return {{"type", "function"}, {"name", request.forced_tool}};
    switch (request.calls) {
        case ApiRequest::Calls::none:
            return "none";
        case ApiRequest::Calls::required:
            return "required";
        case ApiRequest::Calls::automatic:
            break;
    }
    return "auto";
}

Json text_format(const ApiRequest& request) {
    if (request.response_schema.empty()) return {{"type", "text"}};
    if (request.response_schema == "{}") return {{"type", "json_object"}};
    return {{"type", "json_schema"},
            {"name", "response"},
            {"schema", Json::parse(request.response_schema)},
            {"strict", true}};
}

std::string settings_of(const ApiRequest& request) {
    const Request& r = request.request;
    return json_text({{"instructions", nullptr},
                      {"tools", flat_tools(request)},
                      {"tool_choice", tool_choice(request)},
                      {"parallel_tool_calls", !r.one_call_only},
                      {"temperature", r.sampling.temperature},
                      {"top_p", r.sampling.top_p},
                      {"max_output_tokens", r.max_tokens > 0 ? Json(r.max_tokens) : Json(nullptr)},
                      {"text", {{"format", text_format(request)}}},
                      {"reasoning", {{"effort", nullptr}, {"summary", nullptr}}},
                      {"truncation", "disabled"},
                      {"background", false},
                      {"store", false},
                      {"previous_response_id", nullptr},
                      {"service_tier", "default"},
                      {"metadata", Json::object()},
                      {"user", nullptr}});
}

Json usage_of(int prompt_tokens, const AnswerUsage& usage) {
    return {{"input_tokens", prompt_tokens},
            {"input_tokens_details", {{"cached_tokens", usage.cached_tokens}}},
            {"output_tokens", usage.completion_tokens},
            {"output_tokens_details", {{"reasoning_tokens", usage.reasoning_tokens}}},
            {"total_tokens", prompt_tokens + usage.completion_tokens}};
}

Json output_text(const std::string& text) {
    return {{"type", "output_text"},
            {"text", text},
            {"annotations", Json::array()},
            {"logprobs", Json::array()}};
}

Json reasoning_text(const std::string& text) {
    return {{"type", "reasoning_text"}, {"text", text}};
}

Json content_part(ResponseItem::Kind kind, const std::string& text) {
    return kind == ResponseItem::Kind::reasoning ? reasoning_text(text) : output_text(text);
}

// `has_content`: an item that has just been opened shows none yet.
Json item_of(const ResponseItem& item, bool has_content) {
    using Kind = ResponseItem::Kind;
    Json content = Json::array();
    if (has_content) content.push_back(content_part(item.kind, item.text));
    switch (item.kind) {
        case Kind::message:
            return {{"id", item.id},
                    {"type", "message"},
                    {"status", item.status},
                    {"role", "assistant"},
                    {"content", content}};
        case Kind::reasoning:
            return {{"id", item.id},
                    {"type", "reasoning"},
                    {"status", item.status},
                    {"summary", Json::array()},
                    {"content", content},
                    {"encrypted_content", has_content ? Json(carry_reasoning(item.text)) : Json()}};
        case Kind::function_call:
            break;
    }
    return {{"id", item.id},           {"type", "function_call"}, {"status", item.status},
            {"call_id", item.call_id}, {"name", item.name},       {"arguments", item.text}};
}

}  // namespace

ResponsesWriter::ResponsesWriter(const ApiRequest& request,
                                 std::string response_id,
                                 int prompt_tokens,
                                 std::int64_t created_at_s)
    : response_id_(std::move(response_id)),
      prompt_tokens_(prompt_tokens),
      created_at_s_(created_at_s),
      model_(request.model),
      settings_json_(settings_of(request)) {}

std::string ResponsesWriter::open() {
    const std::string out = response_event("response.created", "in_progress");
    return out + response_event("response.in_progress", "in_progress");
}

std::string ResponsesWriter::add(int choice_idx, AnswerEvents events) {
    check(choice_idx == 0, "the Responses API has one answer per request");
    std::string out;
    if (!error_.empty()) return out;
    for (const AnswerPart& part : events.parts)
        add_part(part, out);
    if (!events.is_finished && events.error.empty()) return out;

    reason_ = events.reason;
    usage_ = events.usage;
    error_ = std::move(events.error);
    if (error_.empty() && reason_ == FinishReason::cancelled) error_ = "The answer was cancelled.";
    if (error_.empty()) {
        close_item(final_status(), out);
    } else {
        out += response_event("response.failed", final_status());
    }
    return out;
}

// Codex gives up after 300 s without an event and does not count SSE comments; this event is the
// one that it counts and that changes nothing.
std::string ResponsesWriter::heartbeat(double) {
    if (!error_.empty()) return {};
    return response_event("response.in_progress", "in_progress");
}

std::string ResponsesWriter::close() {
    if (!error_.empty()) return {};
    const std::string_view status = final_status();
    const char* type = status == "incomplete" ? "response.incomplete" : "response.completed";
    return response_event(type, final_status());
}

std::string ResponsesWriter::body() const {
    return response_json(final_status());
}

void ResponsesWriter::add_part(const AnswerPart& part, std::string& out) {
    switch (part.kind) {
        case AnswerPart::Kind::content:
            return add_text(ResponseItem::Kind::message, part.text, out);
        case AnswerPart::Kind::reasoning:
            return add_text(ResponseItem::Kind::reasoning, part.text, out);
        case AnswerPart::Kind::call_begin:
            return begin_call(part, out);
        case AnswerPart::Kind::call_arguments:
            return add_arguments(part.text, out);
        case AnswerPart::Kind::call_end:
            return end_call(part, out);
    }
}

void ResponsesWriter::add_text(ResponseItem::Kind kind, std::string_view text, std::string& out) {
    if (text.empty()) return;
    if (!is_item_open_ || items_.back().kind != kind) {
        close_item("completed", out);
        const char* prefix = kind == ResponseItem::Kind::reasoning ? "rs_" : "msg_";
        open_item({.kind = kind, .id = id_with(prefix, items_.size())}, out);
        out += part_event("response.content_part.added", "");
    }
    items_.back().text += text;
    const char* type = kind == ResponseItem::Kind::reasoning ? "response.reasoning_text.delta"
                                                             : "response.output_text.delta";
    out += text_event(type, "delta", std::string(text));
}

void ResponsesWriter::begin_call(const AnswerPart& part, std::string& out) {
    close_item("completed", out);
    // Not the model's id, which may repeat over the turns of a conversation.
    open_item({.kind = ResponseItem::Kind::function_call,
               .id = id_with("fc_", items_.size()),
               .call_id = id_with("call_", static_cast<std::size_t>(part.call_idx)),
               .name = part.name},
              out);
}

void ResponsesWriter::add_arguments(std::string_view text, std::string& out) {
    check(is_item_open_ && items_.back().kind == ResponseItem::Kind::function_call,
          "arguments belong to a call that has begun");
    std::string& arguments = items_.back().text;
    if (arguments.empty()) text = without_leading_space(text);
    if (text.empty()) return;
    arguments += text;
    out += text_event("response.function_call_arguments.delta", "delta", std::string(text));
}

void ResponsesWriter::end_call(const AnswerPart& part, std::string& out) {
    if (part.is_complete && items_.back().text.empty()) add_arguments("{}", out);
    close_item(part.is_complete ? "completed" : "incomplete", out);
}

void ResponsesWriter::open_item(ResponseItem item, std::string& out) {
    items_.push_back(std::move(item));
    is_item_open_ = true;
    out += item_event("response.output_item.added");
}

void ResponsesWriter::close_item(const char* status, std::string& out) {
    if (!is_item_open_) return;
    ResponseItem& item = items_.back();
    switch (item.kind) {
        case ResponseItem::Kind::message:
            out += text_event("response.output_text.done", "text", item.text);
            out += part_event("response.content_part.done", item.text);
            break;
        case ResponseItem::Kind::reasoning:
            out += text_event("response.reasoning_text.done", "text", item.text);
            out += part_event("response.content_part.done", item.text);
            break;
        case ResponseItem::Kind::function_call:
            out += text_event("response.function_call_arguments.done", "arguments", item.text);
            break;
    }
    item.status = status;
    is_item_open_ = false;
    out += item_event("response.output_item.done");
}

std::string ResponsesWriter::event(const char* type, const std::string& fields_json) {
    const Json head = {{"type", type}, {"sequence_number", sequence_number_++}};
    return std::string("event: ") + type + "\ndata: " + joined(json_text(head), fields_json) +
           "\n\n";
}

// `field` names the text's place in the event.
std::string ResponsesWriter::text_event(const char* type,
                                        const char* field,
                                        const std::string& text) {
    const ResponseItem& item = items_.back();
    Json fields = {{"item_id", item.id}, {"output_index", items_.size() - 1}};
    if (item.kind != ResponseItem::Kind::function_call) fields["content_index"] = 0;
    if (item.kind == ResponseItem::Kind::message) fields["logprobs"] = Json::array();
    if (field == std::string_view("arguments")) fields["name"] = item.name;
    fields[field] = text;
    return event(type, json_text(fields));
}

std::string ResponsesWriter::part_event(const char* type, const std::string& text) {
    const ResponseItem& item = items_.back();
    return event(type, json_text({{"item_id", item.id},
                                  {"output_index", items_.size() - 1},
                                  {"content_index", 0},
                                  {"part", content_part(item.kind, text)}}));
}

std::string ResponsesWriter::item_event(const char* type) {
    return event(type, json_text({{"output_index", items_.size() - 1},
                                  {"item", item_of(items_.back(), !is_item_open_)}}));
}

std::string ResponsesWriter::response_event(const char* type, const char* status) {
    return event(type, R"({"response":)" + response_json(status) + "}");
}

std::string ResponsesWriter::response_json(const char* status) const {
    const std::string_view name = status;
    Json output = Json::array();
    for (const ResponseItem& item : items_)
        output.push_back(item_of(item, !item.text.empty()));
    Json error;
    if (name == "failed") error = {{"code", "server_error"}, {"message", error_}};
    // The API's only word for an answer that found no room, be it max_output_tokens or the context.
    Json details;
    if (name == "incomplete") details = {{"reason", "max_output_tokens"}};
    Json usage;
    if (name != "in_progress") usage = usage_of(prompt_tokens_, usage_);
    const Json head = {
        {"id", response_id_}, {"object", "response"}, {"created_at", created_at_s_},
        {"status", name},     {"error", error},       {"incomplete_details", details},
        {"model", model_},    {"output", output},     {"usage", usage}};
    return joined(json_text(head), settings_json_);
}

const char* ResponsesWriter::final_status() const noexcept {
    if (!error_.empty()) return "failed";
    const bool is_cut = reason_ == FinishReason::length || reason_ == FinishReason::context_full;
    return is_cut ? "incomplete" : "completed";
}

std::string ResponsesWriter::id_with(const char* prefix, std::size_t idx) const {
    const bool has_prefix = response_id_.starts_with("resp_");
    return prefix + (has_prefix ? response_id_.substr(5) : response_id_) + '_' +
           std::to_string(idx);
}

}  // namespace baltoro::server
