#include "server/request_log.h"

#include <fmt/format.h>

#include "server/json_fields.h"
#include "server/openai_reply.h"

namespace baltoro::server {
namespace {

const char* reason_text(FinishReason reason) {
    switch (reason) {
        case FinishReason::stop:
            return "stop";
        case FinishReason::length:
            return "length";
        case FinishReason::context_full:
            return "context_full";
        case FinishReason::cancelled:
            return "cancelled";
    }
    return "";
}

double per_second(int n, double seconds) {
    return seconds > 0.0 ? n / seconds : 0.0;
}

// Tokens after the first, which the prefill gives.
double decode_rate(const AnswerUsage& usage) {
    return per_second(usage.completion_tokens - 1, usage.decode_s);
}

std::string json_line(const RequestRecord& record) {
    Json line = {{"event", "request"},        {"id", record.id},
                 {"api", record.api},         {"status", record.status},
                 {"seconds", record.total_s}, {"stream", record.is_stream}};
    if (record.answers != nullptr) {
        const AnswerUsage usage = record.answers->usage();
        line["prompt_tokens"] = usage.prompt_tokens;
        line["cached_tokens"] = usage.cached_tokens;
        line["completion_tokens"] = usage.completion_tokens;
        line["finish_reason"] = reason_text(record.answers->reason());
        line["tool_calls"] = record.answers->n_complete_calls();
        line["queue_seconds"] = usage.queue_s;
        line["first_token_seconds"] = record.answers->first_part_s();
        line["prefill_tokens_per_second"] =
            per_second(usage.prompt_tokens - usage.cached_tokens, usage.prefill_s);
        line["decode_tokens_per_second"] = decode_rate(usage);
    }
    return json_text(line);
}

}  // namespace

bool AnswerTally::add(std::size_t idx, const AnswerEvents& events) {
    for (const AnswerPart& part : events.parts) {
        if (part.kind != AnswerPart::Kind::call_end) continue;
        (part.is_complete ? n_complete_calls_ : n_cut_calls_)++;
    }
    if (!events.parts.empty() && first_part_s_ == 0.0)
        first_part_s_ = std::chrono::duration<double>(Clock::now() - begin_).count();
    if (events.is_finished) {
        finished_[idx] = true;
        n_finished_++;
        reason_ = events.reason;
        if (!events.error.empty()) error_ = events.error;
        usages_[idx] = events.usage;
    }
    return events.is_finished || !events.parts.empty() || !events.logprobs.empty() ||
           !events.prompt_logprobs.empty() || events.prefilled_tokens > 0;
}

AnswerUsage AnswerTally::usage() const {
    return total_usage(usages_, n_choices_);
}

std::string log_text(const RequestRecord& record, LogFormat format) {
    if (format == LogFormat::json) return json_line(record);
    std::string line = fmt::format("{} {} {}", record.id, record.api, record.status);
    if (record.answers != nullptr) {
        const AnswerUsage usage = record.answers->usage();
        line += fmt::format(
            "  prompt {} ({} cached, {:.0f} tok/s)  answer {} ({:.1f} tok/s)  queued {:.2f} s  "
            "first {:.2f} s  {}",
            usage.prompt_tokens, usage.cached_tokens,
            per_second(usage.prompt_tokens - usage.cached_tokens, usage.prefill_s),
            usage.completion_tokens, decode_rate(usage), usage.queue_s,
            record.answers->first_part_s(), reason_text(record.answers->reason()));
        if (record.answers->n_complete_calls() > 0)
            line += fmt::format("  {} tool calls", record.answers->n_complete_calls());
    }
    return line + fmt::format("  {:.3f} s", record.total_s);
}

void RequestCounters::add(const RequestRecord& record) {
    const std::lock_guard lock(mutex_);
    requests_[{record.api, record.status}]++;
    if (record.answers == nullptr) return;
    n_complete_calls_ += static_cast<std::uint64_t>(record.answers->n_complete_calls());
    n_cut_calls_ += static_cast<std::uint64_t>(record.answers->n_cut_calls());
}

std::map<std::pair<std::string, int>, std::uint64_t> RequestCounters::requests() const {
    const std::lock_guard lock(mutex_);
    return requests_;
}

std::uint64_t RequestCounters::n_complete_calls() const {
    const std::lock_guard lock(mutex_);
    return n_complete_calls_;
}

std::uint64_t RequestCounters::n_cut_calls() const {
    const std::lock_guard lock(mutex_);
    return n_cut_calls_;
}

}  // namespace baltoro::server
