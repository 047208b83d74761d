// The routes that write answers: parse, render, submit, send.

#include <string_view>
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

ApiError engine_error(const std::string& message) {
    ApiError error;
    error.status = 500;
    error.type = "server_error";
    error.message = message;
    return error;
}

// Proxies are told not to hold the events back.
HttpHeaders stream_headers(const HttpRequest& request) {
    HttpHeaders headers = id_headers(request);
    headers.push_back({"cache-control", "no-cache"});
    headers.push_back({"x-accel-buffering", "no"});
    return headers;
}

int prompt_size(const ApiRequest& api) {
    return static_cast<int>(api.request.prompt.size());
}

}  // namespace

// Parses, renders, submits and sends; `make_writer` makes the dialect's writer for the rendered
// request.
template <class MakeWriter>
net::awaitable<void> ApiService::write_answers(Exchange& exchange,
                                               ApiRequest (*parse)(std::string_view,
                                                                   const ApiLimits&),
                                               MakeWriter make_writer) {
    const ServedModel& served = model();
    ApiRequest api = parse(exchange.request.body, served.limits);
    std::vector<Request> requests = build_requests(served, api);
    exchange.request.drop_body();  // an answer may take minutes
    auto writer = make_writer(api, served);
    PendingAnswers answers(exchange.response.executor());
    exchange.tally.emplace(requests.size(), api.n);
    exchange.is_stream = api.stream;
    for (Request& request : requests)
        served.engine.submit(std::move(request), answers.add());
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
    return write_answers(
        exchange, parse_chat_request, [this](const ApiRequest& api, const ServedModel& served) {
            return ChatWriter(api, answer_id("chatcmpl-"), unix_time_s(), served.tokenizer);
        });
}

net::awaitable<void> ApiService::completions(Exchange& exchange) {
    return write_answers(exchange, parse_completions_request,
                         [this](const ApiRequest& api, const ServedModel& served) {
                             return CompletionsWriter(api, answer_id("cmpl-"), unix_time_s(),
                                                      served.tokenizer);
                         });
}

net::awaitable<void> ApiService::responses(Exchange& exchange) {
    return write_answers(
        exchange, parse_responses_request, [this](const ApiRequest& api, const ServedModel&) {
            return ResponsesWriter(api, answer_id("resp_"), prompt_size(api), unix_time_s());
        });
}

net::awaitable<void> ApiService::messages(Exchange& exchange) {
    return write_answers(exchange, parse_messages_request,
                         [this](const ApiRequest& api, const ServedModel&) {
                             return MessagesWriter(api, answer_id("msg_"), prompt_size(api));
                         });
}

}  // namespace baltoro::server
