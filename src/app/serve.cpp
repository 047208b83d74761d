#include "app/serve.h"

#include <unistd.h>
#include <csignal>
#include <ctime>

#include <algorithm>
#include <atomic>
#include <exception>
#include <optional>
#include <sstream>
#include <thread>
#include <utility>

#include <fmt/format.h>

#include "app/open_files.h"
#include "app/runtime.h"
#include "app/version.h"
#include "base/error.h"
#include "base/log.h"
#include "base/mapped_file.h"
#include "engine/engine.h"
#include "server/api_service.h"
#include "server/http_server.h"

namespace baltoro {
namespace {

// SIGTERM and SIGINT, blocked in this thread and in all that it starts.
class StopSignals {
  public:
    StopSignals() {
        sigemptyset(&set_);
        sigaddset(&set_, SIGTERM);
        sigaddset(&set_, SIGINT);
        pthread_sigmask(SIG_BLOCK, &set_, nullptr);
    }
    void wait() const {
        // Fails when the process is stopped and goes on, by SIGCONT or a debugger.
        while (sigwaitinfo(&set_, nullptr) < 0) {
        }
    }
    bool came_within_ms(int ms) const {
        const timespec patience{ms / 1000, ms % 1000 * 1'000'000L};
        return sigtimedwait(&set_, nullptr, &patience) > 0;
    }
    // From here on a signal ends the process.
    void let_through() const {
        const auto end = [](int signal_number) { _exit(128 + signal_number); };
        std::signal(SIGTERM, end);
        std::signal(SIGINT, end);
        pthread_sigmask(SIG_UNBLOCK, &set_, nullptr);
    }

  private:
    sigset_t set_{};
};

// Keys from the command line and the lines of the key file.
std::vector<std::string> read_api_keys(const ServeCommand& command) {
    std::vector<std::string> keys = command.api_keys;
    if (!command.api_key_file.empty()) {
        std::istringstream lines(read_small_file(command.api_key_file, std::size_t{1} << 20));
        for (std::string line; std::getline(lines, line);) {
            while (!line.empty() && (line.back() == '\r' || line.back() == ' '))
                line.pop_back();
            if (!line.empty()) keys.push_back(line);
        }
        if (keys.empty()) throw Error(command.api_key_file + ": holds no key");
    }
    if (std::find(keys.begin(), keys.end(), std::string()) != keys.end())
        throw Error("--api-key: a key is empty");
    return keys;
}

// The last part of the model's path, unless a name is given.
std::string served_name(const ServeCommand& command) {
    if (!command.alias.empty()) return command.alias;
    std::string path = command.runtime.model_dir;
    while (path.size() > 1 && path.back() == '/')
        path.pop_back();
    const std::string name = path.substr(path.rfind('/') + 1);
    return name.empty() ? "model" : name;
}

// As many as asked for, or as many as the limit of open files allows.
std::size_t n_connections_for(const ServeCommand& command) {
    const auto n_wanted = static_cast<std::size_t>(command.max_connections);
    const std::size_t n_files = raise_open_file_limit();
    const std::size_t n = connections_within(n_files, n_wanted);
    if (n < n_wanted)
        log_warning(
            fmt::format("only {} connections at once, not {}: this process may have no "
                        "more than {} open files (raise it with ulimit -n)",
                        n, n_wanted, n_files));
    return n;
}

server::HttpServerOptions http_options(const ServeCommand& command) {
    server::HttpServerOptions options;
    options.host = command.host;
    options.port = command.port;
    options.unix_socket = command.unix_socket;
    options.access.allowed_hosts = command.allowed_hosts;
    options.access.allowed_origins = command.allowed_origins;
    options.access.api_keys = read_api_keys(command);
    options.limits.all_bodies_bytes = static_cast<std::size_t>(command.body_memory_mb) << 20;
    options.limits.n_connections = n_connections_for(command);
    return options;
}

bool is_reasoning_format(ChatFormat format) {
    return format == ChatFormat::k2_thinking || format == ChatFormat::k2_5;
}

// Everything between the files and the first answer. Built by the loading thread, used by the
// engine's.
struct Loaded {
    Runtime runtime;
    server::AnswerVocabulary vocabulary;
    Engine engine;

    Loaded(const ServeCommand& command, const DeviceMaker& make_device)
        : runtime(make_runtime(command.runtime, TextFiles::required, make_device)),
          vocabulary(*runtime.tokenizer, runtime.config.vocab_size, runtime.config.eos_token_ids),
          engine(*runtime.model,
                 *runtime.tokenizer,
                 {command.n_parallel, command.max_queue, runtime.context_size}) {}

    server::ServedModel served(const ServeCommand& command) {
        server::ApiLimits limits;
        const ModelConfig& config = runtime.config;
        limits.context_size = runtime.context_size;
        limits.vocab_size = std::min(config.vocab_size, runtime.tokenizer->vocab_size());
        limits.has_reasoning = is_reasoning_format(runtime.chat_format);
        limits.temperature = config.temperature.value_or(limits.has_reasoning ? 1.0 : 0.6);
        limits.top_p = config.top_p.value_or(1.0);
        limits.top_k = config.top_k.value_or(0);
        limits.served_model = served_name(command);
        limits.strict_model = command.strict_model;
        limits.system_fingerprint = "fp_" + commit_text();
        return {engine,
                *runtime.tokenizer,
                vocabulary,
                runtime.chat_format,
                limits,
                command.n_parallel,
                config.max_position_embeddings,
                runtime.checkpoint.total_bytes(),
                runtime.load_s};
    }
};

// Loads in a thread of its own, so that the main thread can be told to stop.
class Loader {
  public:
    Loader(const ServeCommand& command, const DeviceMaker& make_device)
        : thread_([this, &command, &make_device] {
              try {
                  loaded_ = std::make_unique<Loaded>(command, make_device);
              } catch (...) {
                  failure_ = std::current_exception();
              }
              is_done_.store(true, std::memory_order_release);
          }) {}
    ~Loader() {
        if (thread_.joinable()) thread_.join();
    }
    bool is_done() const noexcept { return is_done_.load(std::memory_order_acquire); }
    std::unique_ptr<Loaded> take() {
        thread_.join();
        if (failure_) std::rethrow_exception(failure_);
        return std::move(loaded_);
    }

  private:
    std::unique_ptr<Loaded> loaded_;
    std::exception_ptr failure_;
    std::atomic<bool> is_done_{false};
    std::thread thread_;  // the last member: it uses the others
};

std::string address_of(const ServeCommand& command, int port) {
    std::string address;
    if (!command.host.empty()) {
        const bool is_v6 = command.host.find(':') != std::string::npos;
        address = "http://" + (is_v6 ? "[" + command.host + "]" : command.host) + ":" +
                  std::to_string(port);
    }
    if (!command.unix_socket.empty())
        address += (address.empty() ? "unix:" : " and unix:") + command.unix_socket;
    return address;
}

bool is_loopback(const std::string& host) {
    return host.empty() || host == "localhost" || host == "::1" || host.starts_with("127.");
}

void announce(const ServeCommand& command, const Runtime& runtime, const std::string& address) {
    const double kv_bytes = static_cast<double>(KvPages::bytes_per_token(runtime.config)) *
                            runtime.model->limits().n_pages * device::kPageTokens;
    log_line(
        fmt::format("listening on {} ({}, context {}, {} at once, weights {:.2f} GB, KV cache up "
                    "to {:.2f} GB, ready in {:.2f} s)",
                    address, served_name(command), runtime.context_size, command.n_parallel,
                    static_cast<double>(runtime.checkpoint.total_bytes()) * 1e-9, kv_bytes * 1e-9,
                    runtime.load_s));
}

}  // namespace

int serve(const ServeCommand& command, const DeviceMaker& make_device) {
    const bool logs_json = command.log_format == "json";
    set_log_format(logs_json ? LogLineFormat::json : LogLineFormat::text);
    if (command.runtime.chunk != 0 && command.n_parallel > command.runtime.chunk)
        throw Error(fmt::format("--parallel {} is more than --chunk {}: a step has that many rows",
                                command.n_parallel, command.runtime.chunk));
    const StopSignals signals;
    server::ServiceOptions service_options;
    service_options.served_model = served_name(command);
    service_options.log_format = logs_json ? server::LogFormat::json : server::LogFormat::text;
    service_options.logs_requests = !command.quiet;
    service_options.version = version_text();
    server::ApiService service(service_options);
    // Destroyed after the engine, which wakes coroutines of the server as long as it lives.
    server::HttpServer http(http_options(command), [&service](server::HttpRequest& request,
                                                              server::ResponseWriter& response) {
        return service.handle(request, response);
    });
    http.start();
    const std::string address = address_of(command, http.port());
    if (!is_loopback(command.host) && command.api_keys.empty() && command.api_key_file.empty())
        log_warning(command.host + " is reachable from other machines and no --api-key is set");
    log_line("loading; " + address + " answers 503 until then");

    std::unique_ptr<Loaded> loaded;
    {
        Loader loader(command, make_device);
        while (!loader.is_done()) {
            if (!signals.came_within_ms(50)) continue;
            log_line("stopped while loading");
            http.stop();
            std::_Exit(0);  // the loading thread cannot be interrupted
        }
        loaded = loader.take();
    }
    service.set_model(loaded->served(command));
    announce(command, loaded->runtime, address);

    signals.wait();
    log_line(fmt::format("stopping: {} answers under way have {} s; a second signal ends them",
                         loaded->engine.metrics().n_running, command.drain_s));
    signals.let_through();
    http.drain(std::chrono::seconds(command.drain_s));
    loaded.reset();
    log_line("stopped");
    return 0;
}

}  // namespace baltoro
