#pragma once

#include <csignal>
#include <string>
#include <vector>

#include "app/options.h"
#include "app/runtime.h"
#include "app/speed_report.h"
#include "engine/session.h"
#include "sampling/sampler.h"

namespace baltoro {

// A loaded model, its one session and its sampler, as `baltoro run` uses them for one answer or a
// chat.
class Answerer {
  public:
    explicit Answerer(const RunCommand& command);

    // Streams the answer to `prompt` to standard output as whole code points and returns its text.
    // Ctrl-C (SIGINT) ends the answer early.
    std::string answer(const std::vector<std::int32_t>& prompt);

    const Runtime& runtime() const noexcept { return runtime_; }
    // Measures the machine's read bandwidth when first called, which nobody should wait for before.
    const SpeedReport& speed();
    // Why the last answer ended.
    FinishReason last_reason() const noexcept { return last_reason_; }

  private:
    int max_tokens_;
    Runtime runtime_;
    Session session_;
    Sampler sampler_;
    SpeedReport speed_;
    FinishReason last_reason_ = FinishReason::stop;
};

// Streams the answer to one message of a user, after the system message if there is one
// (tools/chat.cpp). Throws Error as Session::prefill does.
void answer_once(Answerer& answerer, const std::string& system, const std::string& text);

// Chats on the terminal until the input ends (tools/chat.cpp). Returns the exit code.
int chat(Answerer& answerer, const std::string& system);

}  // namespace baltoro
