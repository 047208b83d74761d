// The routes that write answers: parse, render, submit, send.

#include <chrono>
#include <optional>
#include <utility>

#include "server/anthropic_messages.h"
#include "server/anthropic_writer.h"
#include "server/api_exchange.h"
#include "server/openai_chat.h"
#include "server/openai_chat_writer.h"
#include "server/openai_completions.h"
#include "server/openai_completions_writer.h"
#include "server/openai_responses.h"
#include "server/openai_responses_writer.h"
#include "server/prompt_builder.h"

namespace baltoro::server {
namespace {

namespace net = boost::asio;

std::int64_t unix_time_s() {
    return std::chrono::duration_cast<std::chrono::seconds>(
               std::chrono::system_clock::now().time_since_epoch())
        .count();
}

ApiError engine_error(const std::string& message) {
    ApiError error;
    error.status = 500;
    error.type = "server_error";
    error.message = message;
    return error;
}

// Proxies are told not to hold the events back.
HttpHeaders stream_headers(const HttpRequest& request) {
    HttpHeaders headers = reply_headers(request);
    headers.push_back({"cache-control", "no-cache"});
    headers.push_back({"x-accel-buffering", "no"});
    return headers;
}

}  // namespace

template <class Writer>
net::awaitable<void> ApiService::reply(Exchange& exchange,
                                       ApiRequest& api,
                                       std::vector<Request> requests,
                                       Writer writer) {
    const ServedModel& served = model();
    PendingAnswers answers(exchange.response.executor());
    exchange.tally.emplace(requests.size());
    exchange.is_stream = api.stream;
    for (Request& request : requests) {
        request.id = exchange.request.id;
        served.engine.submit(std::move(request), answers.add());
    }
    answers.cancel_on_disconnect(exchange.response);
    if (api.stream) {
        co_await exchange.response.begin_stream("text/event-stream",
                                                stream_headers(exchange.request));
        co_await stream_answers(exchange.response, answers, writer, *exchange.tally);
        co_return;
    }
    co_await gather_answers(answers, writer, *exchange.tally);
    if (!exchange.tally->error().empty()) throw RequestError(engine_error(exchange.tally->error()));
    co_await send_json(exchange, writer.body());
}

net::awaitable<void> ApiService::chat_completions(Exchange& exchange) {
    const ServedModel& served = model();
    ApiRequest api = parse_chat_request(exchange.request.body, served.limits);
    std::vector<Request> requests = build_requests(served, api);
    ChatWriter writer(api, answer_id("chatcmpl-"), unix_time_s(), served.tokenizer);
    co_await reply(exchange, api, std::move(requests), std::move(writer));
}

net::awaitable<void> ApiService::completions(Exchange& exchange) {
    const ServedModel& served = model();
    ApiRequest api = parse_completions_request(exchange.request.body, served.limits);
    std::vector<Request> requests = build_requests(served, api);
    CompletionsWriter writer(api, answer_id("cmpl-"), unix_time_s(), served.tokenizer);
    co_await reply(exchange, api, std::move(requests), std::move(writer));
}

net::awaitable<void> ApiService::responses(Exchange& exchange) {
    const ServedModel& served = model();
    ApiRequest api = parse_responses_request(exchange.request.body, served.limits);
    std::vector<Request> requests = build_requests(served, api);
    ResponsesWriter writer(api, answer_id("resp_"), static_cast<int>(api.request.prompt.size()),
                           unix_time_s());
    co_await reply(exchange, api, std::move(requests), std::move(writer));
}

net::awaitable<void> ApiService::messages(Exchange& exchange) {
    const ServedModel& served = model();
    ApiRequest api = parse_messages_request(exchange.request.body, served.limits);
    std::vector<Request> requests = build_requests(served, api);
    MessagesWriter writer(api, answer_id("msg_"), static_cast<int>(api.request.prompt.size()));
    co_await reply(exchange, api, std::move(requests), std::move(writer));
}

}  // namespace baltoro::server
