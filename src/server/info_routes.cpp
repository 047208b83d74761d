// The routes that tell about the model and the server.

#include <string>
#include <utility>

#include "server/anthropic_messages.h"
#include "server/api_exchange.h"
#include "server/json_fields.h"
#include "server/metrics_text.h"
#include "server/openai_chat.h"
#include "server/prompt_builder.h"

namespace baltoro::server {
namespace {

namespace net = boost::asio;

constexpr std::size_t kMaxTokens = std::size_t{1} << 22;

// A model as OpenAI's, Anthropic's and llama.cpp's clients look for it; sizes once it is loaded.
Json model_json(const std::string& id, std::int64_t created_s, const ServedModel* model) {
    Json json = {{"id", id},        {"object", "model"},  {"created", created_s},
                 {"type", "model"}, {"display_name", id}, {"owned_by", "baltoro"}};
    if (model == nullptr) return json;
    json["context_length"] = model->limits.context_size;
    json["max_model_len"] = model->limits.context_size;
    json["meta"] = {{"n_ctx", model->limits.context_size},
                    {"n_ctx_train", model->max_position_embeddings},
                    {"n_vocab", model->limits.vocab_size},
                    {"size", model->weight_bytes}};
    return json;
}

// Documents are made outside the coroutines: g++ 12 fails on initializer lists inside them.

std::string models_json(const std::string& id, std::int64_t created_s, const ServedModel* model) {
    const Json json = {{"object", "list"},
                       {"data", Json::array({model_json(id, created_s, model)})},
                       {"has_more", false},
                       {"first_id", id},
                       {"last_id", id}};
    return json_text(json);
}

std::string loading_json() {
    const Json error = {{"code", 503}, {"message", "Loading model"}, {"type", "unavailable_error"}};
    return json_text(Json{{"error", error}});
}

std::string props_json(const ServedModel& model, const ServiceOptions& options) {
    const Json settings = {{"n_ctx", model.limits.context_size},
                           {"temperature", model.limits.temperature},
                           {"top_p", model.limits.top_p},
                           {"top_k", model.limits.top_k}};
    const Json json = {
        {"default_generation_settings", settings},      {"total_slots", model.n_parallel},
        {"model_alias", options.served_model},          {"n_ctx", model.limits.context_size},
        {"n_ctx_train", model.max_position_embeddings}, {"build_info", options.version}};
    return json_text(json);
}

// llama.cpp calls the text `content`, vLLM `prompt`; the replies have what both look for.
std::string tokens_json(const ServedModel& model, const std::string& request_body) {
    const Json body = require_body(request_body);
    const Fields fields(body);
    const std::string* text = fields.string("content");
    if (text == nullptr) text = fields.string("prompt");
    if (text == nullptr) refuse("content", "content is missing");
    const std::vector<std::int32_t> ids = fields.boolean("parse_special").value_or(false)
                                              ? model.tokenizer.encode_with_special(*text)
                                              : model.tokenizer.encode(*text);
    const Json json = {
        {"tokens", ids}, {"count", ids.size()}, {"max_model_len", model.limits.context_size}};
    return json_text(json);
}

std::string text_json(const ServedModel& model, const std::string& request_body) {
    const Json body = require_body(request_body);
    const auto tokens = Fields(body).array("tokens", kMaxTokens);
    if (!tokens) refuse("tokens", "tokens is missing");
    std::vector<std::int32_t> ids;
    for (const Field& token : *tokens)
        ids.push_back(
            static_cast<std::int32_t>(token.integer(0, model.tokenizer.vocab_size() - 1)));
    const std::string text = model.tokenizer.decode(ids);
    const Json json = {{"content", text}, {"prompt", text}};
    return json_text(json);
}

std::string prompt_json(const ServedModel& model, const std::string& request_body) {
    const ApiRequest api = parse_chat_request(request_body, model.limits);
    const std::vector<PromptPiece> pieces = render_messages(model, api);
    const std::vector<std::int32_t> ids = encode_prompt(model.tokenizer, pieces);
    const Json json = {{"prompt", prompt_text(pieces)}, {"tokens", ids}, {"count", ids.size()}};
    return json_text(json);
}

std::string token_count_json(const ServedModel& model, const std::string& request_body) {
    const ApiRequest api = parse_count_tokens_request(request_body, model.limits);
    const Json json = {{"input_tokens", build_prompts(model, api)[0].size()}};
    return json_text(json);
}

std::string version_json(const std::string& version) {
    const Json json = {{"version", version}};
    return json_text(json);
}

}  // namespace

net::awaitable<void> ApiService::list_models(Exchange& exchange) {
    co_await send_json(exchange, models_json(options_.served_model, started_s_,
                                             model_.load(std::memory_order_acquire)));
}

net::awaitable<void> ApiService::one_model(Exchange& exchange) {
    constexpr std::string_view kParent = "/v1/models/";
    if (std::string_view(exchange.request.path).substr(kParent.size()) != options_.served_model) {
        ApiError error;
        error.status = 404;
        error.code = "model_not_found";
        error.param = "model";
        error.message = "this server has one model; GET /v1/models names it";
        throw RequestError(error);
    }
    co_await send_json(exchange, json_text(model_json(options_.served_model, started_s_,
                                                      model_.load(std::memory_order_acquire))));
}

net::awaitable<void> ApiService::health(Exchange& exchange) {
    if (model_.load(std::memory_order_acquire) == nullptr) {
        exchange.status = 503;
        co_await send_json(exchange, loading_json());
        co_return;
    }
    co_await send_json(exchange, R"({"status":"ok"})");
}

net::awaitable<void> ApiService::version(Exchange& exchange) {
    co_await send_json(exchange, version_json(options_.version));
}

net::awaitable<void> ApiService::metrics(Exchange& exchange) {
    HttpReply reply;
    reply.content_type = "text/plain; version=0.0.4";
    reply.body = metrics_text(counters_, model_.load(std::memory_order_acquire), options_.version);
    co_await exchange.response.send(std::move(reply));
}

net::awaitable<void> ApiService::props(Exchange& exchange) {
    co_await send_json(exchange, props_json(model(), options_));
}

net::awaitable<void> ApiService::tokenize(Exchange& exchange) {
    co_await send_json(exchange, tokens_json(model(), exchange.request.body));
}

net::awaitable<void> ApiService::detokenize(Exchange& exchange) {
    co_await send_json(exchange, text_json(model(), exchange.request.body));
}

net::awaitable<void> ApiService::apply_template(Exchange& exchange) {
    co_await send_json(exchange, prompt_json(model(), exchange.request.body));
}

net::awaitable<void> ApiService::count_tokens(Exchange& exchange) {
    co_await send_json(exchange, token_count_json(model(), exchange.request.body));
}

}  // namespace baltoro::server
