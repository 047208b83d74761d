#include "server/api_service.h"

#include <chrono>
#include <random>
#include <utility>

#include <fmt/format.h>

#include "base/log.h"
#include "server/api_exchange.h"
#include "server/json_fields.h"
#include "server/prompt_builder.h"

namespace baltoro::server {
namespace {

namespace net = boost::asio;

std::int64_t unix_time_s() {
    return std::chrono::duration_cast<std::chrono::seconds>(
               std::chrono::system_clock::now().time_since_epoch())
        .count();
}

ApiError loading_error() {
    ApiError error;
    error.status = 503;
    error.type = "unavailable_error";
    error.message = "Loading model";
    error.retry_after_s = 2;
    return error;
}

ApiError plain_error(int status, const char* type, const char* code, std::string message) {
    ApiError error;
    error.status = status;
    error.type = type;
    error.code = code;
    error.message = std::move(message);
    return error;
}

bool matches(std::string_view pattern, std::string_view path) {
    if (!pattern.ends_with("/*")) return path == pattern;
    pattern.remove_suffix(1);
    return path.starts_with(pattern) && path.size() > pattern.size();
}

void add_header(HttpReply& reply, const char* name, std::string value) {
    reply.headers.push_back({name, std::move(value)});
}

}  // namespace

ApiService::ApiService(ServiceOptions options)
    : options_(std::move(options)), started_s_(unix_time_s()), id_salt_(std::random_device{}()) {}

void ApiService::set_model(const ServedModel& model) {
    model_storage_ = std::make_unique<const ServedModel>(model);
    model_.store(model_storage_.get(), std::memory_order_release);
}

const ServedModel& ApiService::model() const {
    const ServedModel* model = model_.load(std::memory_order_acquire);
    if (model == nullptr) throw RequestError(loading_error());
    return *model;
}

std::string ApiService::answer_id(const char* prefix) {
    return fmt::format("{}{:08x}{:08x}", prefix, static_cast<std::uint32_t>(id_salt_),
                       static_cast<std::uint32_t>(++n_answers_));
}

const std::vector<ApiService::Route>& ApiService::routes() {
    static const std::vector<Route> kRoutes = {
        {"POST", "/v1/chat/completions", &ApiService::chat_completions},
        {"POST", "/v1/completions", &ApiService::completions},
        {"POST", "/v1/responses", &ApiService::responses},
        {"POST", "/v1/messages", &ApiService::messages, Family::anthropic},
        {"POST", "/v1/messages/count_tokens", &ApiService::count_tokens, Family::anthropic},
        {"GET", "/v1/models", &ApiService::list_models},
        {"GET", "/v1/models/*", &ApiService::one_model},
        {"GET", "/health", &ApiService::health},
        {"GET", "/healthz", &ApiService::health},
        {"GET", "/readyz", &ApiService::health},
        {"GET", "/", &ApiService::version},
        {"GET", "/version", &ApiService::version},
        {"GET", "/metrics", &ApiService::metrics},
        {"GET", "/props", &ApiService::props},
        {"POST", "/tokenize", &ApiService::tokenize},
        {"POST", "/detokenize", &ApiService::detokenize},
        {"POST", "/apply-template", &ApiService::apply_template},
    };
    return kRoutes;
}

HttpHeaders reply_headers(const HttpRequest& request) {
    return {{"x-request-id", request.id}, {"request-id", request.id}};
}

net::awaitable<void> ApiService::send_json(Exchange& exchange, std::string body) {
    HttpReply reply;
    reply.status = exchange.status;
    reply.headers = reply_headers(exchange.request);
    reply.body = std::move(body);
    co_await exchange.response.send(std::move(reply));
}

net::awaitable<void> ApiService::refuse(Exchange& exchange, const ApiError& error) {
    HttpReply reply;
    reply.status = exchange.status = error.status;
    reply.headers = reply_headers(exchange.request);
    if (error.retry_after_s > 0)
        add_header(reply, "retry-after", std::to_string(error.retry_after_s));
    reply.body = exchange.family == Family::anthropic
                     ? anthropic_error_body(error, exchange.request.id)
                     : openai_error_body(error);
    co_await exchange.response.send(std::move(reply));
}

// Finds the route, or says that there is none.
net::awaitable<void> ApiService::handle(HttpRequest& request, ResponseWriter& response) {
    const auto begin = std::chrono::steady_clock::now();
    Exchange exchange{request, response};
    if (request.path.starts_with("/v1/messages")) exchange.family = Family::anthropic;
    const bool is_head = request.method == "HEAD";
    const Route* found = nullptr;
    std::string allowed;
    for (const Route& route : routes()) {
        if (!matches(route.path, request.path)) continue;
        if (route.method == request.method || (is_head && route.method == std::string_view("GET")))
            found = &route;
        allowed += allowed.empty() ? route.method : std::string(", ") + route.method;
    }
    RequestRecord record;
    record.id = request.id;
    record.api = allowed.empty() ? "other" : request.path;
    if (found != nullptr && found->path.ends_with("/*")) record.api = found->path;
    std::optional<ApiError> refusal;
    std::exception_ptr failure;
    if (found != nullptr) {
        exchange.family = found->family;
        exchange.path_end = std::string_view(request.path).substr(found->path.size() - 1);
        try {
            co_await answer_route(found, exchange);
        } catch (const RequestError& error) {
            refusal = error.refusal();
            if (const auto* long_prompt = dynamic_cast<const PromptTooLong*>(&error);
                long_prompt != nullptr && exchange.family == Family::anthropic)
                refusal->message = anthropic_overflow_message(long_prompt->context_size(),
                                                              long_prompt->prompt_tokens());
        } catch (const QueueFull& error) {
            refusal = plain_error(503, "server_error", "queue_full", error.what());
            refusal->retry_after_s = error.retry_after_s;
        } catch (const ClientGone&) {
            exchange.status = 499;
            failure = std::current_exception();
        }
    } else if (allowed.empty()) {
        refusal = plain_error(404, "invalid_request_error", "unknown_url",
                              "there is no such path; GET / lists none, see the README");
    } else {
        HttpReply reply;
        reply.status = exchange.status = 405;
        reply.headers = reply_headers(request);
        add_header(reply, "allow", allowed);
        reply.body = openai_error_body(plain_error(
            405, "invalid_request_error", "method_not_allowed", "the path allows " + allowed));
        co_await response.send(std::move(reply));
    }
    if (refusal && !response.has_begun()) co_await refuse(exchange, *refusal);
    record.status = exchange.status;
    record.is_stream = exchange.is_stream;
    record.answers = exchange.tally ? &*exchange.tally : nullptr;
    record.total_s =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    counters_.add(record);
    // Probes would fill the log.
    if (options_.logs_requests && (record.answers != nullptr || record.status >= 400))
        log_line(log_text(record, options_.log_format));
    if (failure) std::rethrow_exception(failure);
}

net::awaitable<void> ApiService::answer_route(const Route* route, Exchange& exchange) {
    co_await (this->*route->answer)(exchange);
}

}  // namespace baltoro::server
