#pragma once

#include <cstdint>
#include <memory>

#include "base/error.h"
#include "engine/answer_stream.h"
#include "engine/engine_metrics.h"
#include "engine/request.h"
#include "model/model.h"
#include "text/tokenizer.h"

namespace baltoro {

struct EngineOptions {
    int n_parallel = 4;    // answers written at once; others wait
    int max_waiting = 64;  // beside those; more are refused
    int context_size = 0;  // most tokens of one sequence; 0: as many as there are pages for
};

// The queue is full; try again after retry_after_s.
struct QueueFull : Error {
    using Error::Error;
    int retry_after_s = 1;
};

// Writes many answers at once: one loop thread that schedules, runs the model, draws and hands out
// tokens. The model belongs to that thread while the engine lives.
class Engine {
  public:
    // Model and tokenizer must outlive the engine. Starts the thread.
    Engine(Model& model, const Tokenizer& tokenizer, const EngineOptions& options);

    // Cancels what runs and joins the thread.
    ~Engine();
    Engine(const Engine&) = delete;
    Engine& operator=(const Engine&) = delete;

    // Any thread. Throws QueueFull, and Error for an empty or too long prompt or ids outside the
    // vocabulary.
    void submit(Request request, std::shared_ptr<AnswerStream> stream);

    // Any thread: figures as of the last step.
    EngineMetrics metrics() const;

    int context_size() const noexcept;

  private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace baltoro
