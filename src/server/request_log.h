#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "engine/answer_stream.h"

namespace baltoro::server {

// Counts the answers of one request while they are written. One coroutine.
class AnswerTally {
  public:
    // `n_choices` answers of each prompt, one after another.
    explicit AnswerTally(std::size_t n_answers, int n_choices = 1)
        : n_choices_(n_choices), finished_(n_answers, false), usages_(n_answers) {}

    // False if the events are empty.
    bool add(std::size_t idx, const AnswerEvents& events);

    bool is_finished(std::size_t idx) const noexcept { return finished_[idx]; }
    bool is_done() const noexcept { return n_finished_ == finished_.size(); }

    // Of all answers: total_usage says how they add up.
    AnswerUsage usage() const;
    double first_part_s() const noexcept { return first_part_s_; }
    FinishReason reason() const noexcept { return reason_; }
    const std::string& error() const noexcept { return error_; }
    int n_complete_calls() const noexcept { return n_complete_calls_; }
    int n_cut_calls() const noexcept { return n_cut_calls_; }

  private:
    using Clock = std::chrono::steady_clock;
    Clock::time_point begin_ = Clock::now();
    int n_choices_;
    std::vector<bool> finished_;
    std::vector<AnswerUsage> usages_;
    std::size_t n_finished_ = 0;
    double first_part_s_ = 0.0;
    FinishReason reason_ = FinishReason::stop;
    std::string error_;
    int n_complete_calls_ = 0;
    int n_cut_calls_ = 0;
};

// One finished request. Holds sizes and times, never text of the conversation.
struct RequestRecord {
    std::string id;
    std::string api;  // the route: "/v1/messages"; routes that nobody has are "other"
    int status = 0;
    double total_s = 0.0;
    bool is_stream = false;
    const AnswerTally* answers = nullptr;  // of routes that answer
};

enum class LogFormat { text, json };

// The line that a record becomes.
std::string log_text(const RequestRecord& record, LogFormat format);

// Counters of requests, for /metrics. Any thread.
class RequestCounters {
  public:
    void add(const RequestRecord& record);
    std::map<std::pair<std::string, int>, std::uint64_t> requests() const;  // by (api, status)
    std::uint64_t n_complete_calls() const;
    std::uint64_t n_cut_calls() const;

  private:
    mutable std::mutex mutex_;
    std::map<std::pair<std::string, int>, std::uint64_t> requests_;
    std::uint64_t n_complete_calls_ = 0;
    std::uint64_t n_cut_calls_ = 0;
};

}  // namespace baltoro::server
