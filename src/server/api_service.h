#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <boost/asio/awaitable.hpp>

#include "server/answer_sender.h"
#include "server/request_log.h"
#include "server/response_writer.h"
#include "server/served_model.h"

namespace baltoro::server {

struct ServiceOptions {
    std::string served_model;  // the name that clients see
    LogFormat log_format = LogFormat::text;
    bool logs_requests = true;
    std::string version;
};

// Everything behind the HTTP server: routes of three API families over one engine. Until it has a
// model, routes that need one say 503 "Loading model". handle() runs in the server's threads.
class ApiService {
  public:
    explicit ApiService(ServiceOptions options);

    // Once, any thread. The engine and the tokenizer outlive the last request.
    void set_model(const ServedModel& model);

    boost::asio::awaitable<void> handle(HttpRequest& request, ResponseWriter& response);

  private:
    struct Exchange;  // one request and what is known of its reply
    struct Route;     // a path and what answers it

    static const std::vector<Route>& routes();
    const ServedModel& model() const;  // throws RequestError while there is none

    boost::asio::awaitable<void> answer(const Route* route, Exchange& exchange);
    void record(const Route* route, const Exchange& exchange);
    boost::asio::awaitable<void> send(Exchange& exchange, HttpReply reply);
    boost::asio::awaitable<void> send_json(Exchange& exchange, std::string body);

    boost::asio::awaitable<void> chat_completions(Exchange& exchange);
    boost::asio::awaitable<void> completions(Exchange& exchange);
    boost::asio::awaitable<void> responses(Exchange& exchange);
    boost::asio::awaitable<void> messages(Exchange& exchange);
    template <class MakeWriter>
    boost::asio::awaitable<void> write_answers(Exchange& exchange,
                                               ApiRequest (*parse)(std::string_view,
                                                                   const ApiLimits&),
                                               MakeWriter make_writer);

    boost::asio::awaitable<void> count_tokens(Exchange& exchange);
    boost::asio::awaitable<void> list_models(Exchange& exchange);
    boost::asio::awaitable<void> one_model(Exchange& exchange);
    boost::asio::awaitable<void> health(Exchange& exchange);
    boost::asio::awaitable<void> metrics(Exchange& exchange);
    boost::asio::awaitable<void> tokenize(Exchange& exchange);
    boost::asio::awaitable<void> detokenize(Exchange& exchange);
    boost::asio::awaitable<void> apply_template(Exchange& exchange);
    boost::asio::awaitable<void> props(Exchange& exchange);
    boost::asio::awaitable<void> version(Exchange& exchange);

    ServiceOptions options_;
    const std::int64_t started_s_;
    std::unique_ptr<const ServedModel> model_storage_;
    std::atomic<const ServedModel*> model_{nullptr};
    RequestCounters counters_;
    std::atomic<std::uint64_t> n_answers_{0};
    const std::uint64_t id_salt_;

    std::string answer_id(const char* prefix);
};

}  // namespace baltoro::server
