#include "server/metrics_text.h"

#include <unistd.h>

#include <cstdio>
#include <iterator>
#include <string_view>

#include <fmt/format.h>

namespace baltoro::server {
namespace {

class MetricsWriter {
  public:
    void head(std::string_view name, std::string_view type, std::string_view help) {
        fmt::format_to(std::back_inserter(text_), "# HELP baltoro_{} {}\n# TYPE baltoro_{} {}\n",
                       name, help, name, type);
    }
    template <class Value>
    void sample(std::string_view name, std::string_view labels, Value value) {
        fmt::format_to(std::back_inserter(text_), "baltoro_{}{} {}\n", name, labels, value);
    }
    template <class Value>
    void single(std::string_view name, std::string_view type, std::string_view help, Value value) {
        head(name, type, help);
        sample(name, "", value);
    }
    void histogram(std::string_view name, std::string_view help, const LatencyHistogram& values) {
        head(name, "histogram", help);
        std::uint64_t total = 0;
        for (std::size_t i = 0; i < values.bounds.size(); i++) {
            total += values.counts[i];
            sample(fmt::format("{}_bucket", name), fmt::format("{{le=\"{}\"}}", values.bounds[i]),
                   total);
        }
        total += values.counts.back();
        sample(fmt::format("{}_bucket", name), "{le=\"+Inf\"}", total);
        sample(fmt::format("{}_sum", name), "", values.sum);
        sample(fmt::format("{}_count", name), "", total);
    }
    std::string take() { return std::move(text_); }

  private:
    std::string text_;
};

// Resident memory of this process.
std::uint64_t rss_bytes() {
    std::uint64_t pages = 0;
    std::FILE* file = std::fopen("/proc/self/statm", "r");
    if (file == nullptr) return 0;
    unsigned long long size = 0;
    unsigned long long resident = 0;
    if (std::fscanf(file, "%llu %llu", &size, &resident) == 2) pages = resident;
    std::fclose(file);
    return pages * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
}

// A label's value: quotes, backslashes and line ends are escaped.
std::string escaped(std::string_view text) {
    std::string result;
    for (const char c : text) {
        if (c == '\\' || c == '"') result += '\\';
        result += c == '\n' ? ' ' : c;
    }
    return result;
}

void write_engine(MetricsWriter& out, const EngineMetrics& engine) {
    out.single("requests_running", "gauge", "Answers being written.", engine.n_running);
    out.single("requests_waiting", "gauge", "Requests in the queue.", engine.n_waiting);
    out.single("requests_cancelled_total", "counter", "Answers given up by their clients.",
               engine.cancelled_total);
    out.single("preemptions_total", "counter",
               "Answers put back into the queue because the KV cache was full.",
               engine.preemptions_total);
    out.single("prompt_tokens_total", "counter", "Tokens of prompts.", engine.prompt_tokens_total);
    out.single("cached_prompt_tokens_total", "counter", "Of these, found in the prefix cache.",
               engine.cached_prompt_tokens_total);
    out.single("generation_tokens_total", "counter", "Tokens of answers.",
               engine.generation_tokens_total);
    out.histogram("time_to_first_token_seconds", "From the request to its first token.",
                  engine.time_to_first_token);
    out.histogram("inter_token_latency_seconds", "Between two tokens of an answer.",
                  engine.inter_token_latency);
    out.histogram("e2e_request_latency_seconds", "From the request to its last token.",
                  engine.e2e_request_latency);
    out.histogram("queue_time_seconds", "From the request to its first step.", engine.queue_time);
    out.single("prefill_tokens_per_second", "gauge", "Speed of the last prefill.",
               engine.prefill_tokens_per_second);
    out.single("decode_tokens_per_second", "gauge", "Speed of decoding, all answers together.",
               engine.decode_tokens_per_second);
    out.single(
        "kv_cache_usage_ratio", "gauge", "Pages that running answers hold.",
        engine.n_pages > 0 ? static_cast<double>(engine.n_pages_used) / engine.n_pages : 0.0);
    out.single("kv_cache_cached_pages", "gauge", "Pages kept for later prompts.",
               engine.n_pages_cached);
    out.single("expert_bytes_read_total", "counter", "Bytes of routed experts that were read.",
               engine.expert_bytes_read_total);
}

}  // namespace

std::string metrics_text(const RequestCounters& counters,
                         const ServedModel* model,
                         const std::string& version) {
    MetricsWriter out;
    out.head("build_info", "gauge", "The version that runs.");
    out.sample("build_info", fmt::format("{{version=\"{}\"}}", escaped(version)), 1);
    out.single("rss_bytes", "gauge", "Resident memory of the process.", rss_bytes());
    out.head("requests_total", "counter", "Requests by route and status.");
    for (const auto& [key, n] : counters.requests())
        out.sample("requests_total",
                   fmt::format("{{api=\"{}\",status=\"{}\"}}", escaped(key.first), key.second), n);
    out.head("tool_calls_total", "counter", "Tool calls by how they ended.");
    out.sample("tool_calls_total", "{result=\"complete\"}", counters.n_complete_calls());
    out.sample("tool_calls_total", "{result=\"cut\"}", counters.n_cut_calls());
    if (model == nullptr) return out.take();
    out.single("model_load_seconds", "gauge", "From the start to being ready.", model->load_s);
    write_engine(out, model->engine.metrics());
    return out.take();
}

}  // namespace baltoro::server
