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

ApiError loading_error() {
    ApiError error;
    error.status = 503;
    error.type = "unavailable_error";
    error.message = "Loading model";
    error.retry_after_s = 2;
    return error;
}

ApiError queue_error(const QueueFull& full) {
    ApiError error;
    error.status = 503;
    error.type = "server_error";
    error.code = "queue_full";
    error.message = full.what();
    error.retry_after_s = full.retry_after_s;
    return error;
}

ApiError overflow_error(const PromptTooLong& prompt, std::string_view path) {
    ApiError error = prompt.refusal();
    if (is_anthropic_path(path))
        error.message = anthropic_overflow_message(prompt.context_size(), prompt.prompt_tokens());
    return error;
}

bool matches(std::string_view pattern, std::string_view path) {
    if (!pattern.ends_with("/*")) return path == pattern;
    pattern.remove_suffix(1);
    return path.starts_with(pattern) && path.size() > pattern.size();
}

}  // namespace

std::int64_t unix_time_s() {
    return std::chrono::duration_cast<std::chrono::seconds>(
               std::chrono::system_clock::now().time_since_epoch())
        .count();
}

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
        {"POST", "/v1/messages", &ApiService::messages},
        {"POST", "/v1/messages/count_tokens", &ApiService::count_tokens},
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

net::awaitable<void> ApiService::send(Exchange& exchange, HttpReply reply) {
    exchange.status = reply.status;
    co_await exchange.response.send(std::move(reply));
}

net::awaitable<void> ApiService::send_json(Exchange& exchange, std::string body) {
    HttpReply reply = json_reply(exchange.status, std::move(body));
    reply.headers = id_headers(exchange.request);
    co_await exchange.response.send(std::move(reply));
}

// Finds the route, or says that there is none.
net::awaitable<void> ApiService::handle(HttpRequest& request, ResponseWriter& response) {
    Exchange exchange{request, response};
    const bool is_head = request.method == "HEAD";
    const Route* known = nullptr;  // of this path, with whatever method
    bool is_allowed = false;
    for (const Route& route : routes()) {
        if (!matches(route.path, request.path)) continue;
        known = &route;
        is_allowed =
            route.method == request.method || (is_head && route.method == std::string_view("GET"));
        break;
    }
    std::exception_ptr gone;
    try {
        if (known == nullptr) {
            co_await send(exchange, unknown_url(request));
        } else if (!is_allowed) {
            co_await send(exchange, method_not_allowed(request, known->method));
        } else {
            co_await answer(known, exchange);
        }
    } catch (const ClientGone&) {
        exchange.status = 499;
        gone = std::current_exception();
    }
    record(known, exchange);
    if (gone) std::rethrow_exception(gone);
}

// Runs the route; what it refuses gets the shape of the path's API.
net::awaitable<void> ApiService::answer(const Route* route, Exchange& exchange) {
    std::optional<ApiError> refusal;
    try {
        co_await (this->*route->answer)(exchange);
    } catch (const PromptTooLong& error) {
        refusal = overflow_error(error, exchange.request.path);
    } catch (const RequestError& error) {
        refusal = error.refusal();
    } catch (const QueueFull& error) {
        refusal = queue_error(error);
    }
    if (refusal && !exchange.response.has_begun())
        co_await send(exchange, error_reply(exchange.request, *refusal));
}

void ApiService::record(const Route* route, const Exchange& exchange) {
    RequestRecord record;
    record.id = exchange.request.id;
    // The route's own path: clients could make up any number of others.
    record.api = route == nullptr ? "other" : route->path;
    record.status = exchange.status;
    record.is_stream = exchange.is_stream;
    record.answers = exchange.tally ? &*exchange.tally : nullptr;
    record.total_s =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - exchange.begin).count();
    counters_.add(record);
    // Probes would fill the log.
    if (options_.logs_requests && (record.answers != nullptr || record.status >= 400))
        log_line(log_text(record, options_.log_format));
}

}  // namespace baltoro::server
