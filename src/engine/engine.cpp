#include "engine/engine.h"

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <numeric>
#include <span>
#include <thread>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "engine/answer.h"
#include "engine/engine_loop.h"
#include "engine/held_pages.h"
#include "engine/queue_room.h"

namespace baltoro {
namespace {

constexpr int kLongestRetry_s = 60;

// The context that the model's pages can hold, or less if so asked. Throws Error for options that
// cannot be.
int checked_context_size(const Model& model, const EngineOptions& options) {
    const ModelLimits& limits = model.limits();
    if (options.n_parallel < 1 || options.n_parallel > limits.max_rows)
        throw Error(fmt::format("{} answers at once: one step computes 1 to {} tokens",
                                options.n_parallel, limits.max_rows));
    if (options.max_waiting < 0 || options.context_size < 0)
        throw Error(fmt::format("a queue of {} and a context of {} tokens must not be negative",
                                options.max_waiting, options.context_size));
    const int room = limits.n_pages * device::kPageTokens;
    return options.context_size > 0 ? std::min(options.context_size, room) : room;
}

void check_ids(std::span<const std::int32_t> ids, int vocab_size) {
    for (const std::int32_t id : ids)
        if (id < 0 || id >= vocab_size)
            throw Error(fmt::format("token id {} is outside the vocabulary of {}", id, vocab_size));
}

void check_request(const Request& request, int vocab_size, int context_size) {
    if (request.prompt.empty()) throw Error("the prompt has no tokens");
    check_ids(request.prompt, vocab_size);
    check_ids(request.forced, vocab_size);
    check_ids(request.banned_ids, vocab_size);
    for (const auto& [id, bias] : request.sampling.logit_bias)
        check_ids({&id, 1}, vocab_size);
    check_sampling_options(request.sampling);
    if (static_cast<int>(request.prompt.size()) > context_size)
        throw Error(fmt::format("the prompt has {} tokens, the context holds {}; raise --ctx-size",
                                request.prompt.size(), context_size));
}

}  // namespace

struct Engine::State {
    State(Model& model, const Tokenizer& text_tokenizer, const EngineOptions& engine_options)
        : tokenizer(text_tokenizer),
          options(engine_options),
          vocab_size(model.config().vocab_size),
          context_size(checked_context_size(model, engine_options)),
          loop(model, engine_options, context_size),
          published(loop.metrics()),
          room(options.max_waiting, options.n_parallel, model.limits().n_pages),
          held_pages(model.limits().n_pages) {}

    void run();
    bool take_inbox(std::vector<std::unique_ptr<Answer>>& taken);
    void publish();
    int retry_after_s() const;
    // That it needs and does not share. Called with the mutex held.
    int n_pages_of(const Answer& answer) const {
        return n_pages_to_admit(answer.sequence.n_prompt, context_size) -
               held_pages.n_shared_by(answer.sequence);
    }

    const Tokenizer& tokenizer;
    EngineOptions options;
    int vocab_size;
    int context_size;
    EngineLoop loop;  // the thread's

    mutable std::mutex mutex;  // guards what follows
    std::condition_variable wake;
    std::vector<std::unique_ptr<Answer>> inbox;
    EngineMetrics published;
    QueueRoom room;  // as of the last step, less what was submitted since
    HeldPages held_pages;
    bool is_stopping = false;

    std::thread thread;
};

void Engine::State::run() {
    loop.take_over();
    std::vector<std::unique_ptr<Answer>> taken;
    while (take_inbox(taken)) {
        for (std::unique_ptr<Answer>& answer : taken)
            loop.add(std::move(answer));
        loop.step();
        publish();
        loop.send_events();
    }
    for (std::unique_ptr<Answer>& answer : taken)
        loop.add(std::move(answer));
    loop.fail_all("the server is stopping");
}

// Sleeps while there is nothing to do. False when the engine stops.
bool Engine::State::take_inbox(std::vector<std::unique_ptr<Answer>>& taken) {
    taken.clear();
    std::unique_lock lock(mutex);
    wake.wait(lock, [this] { return is_stopping || !inbox.empty() || !loop.is_idle(); });
    std::swap(inbox, taken);
    return !is_stopping;
}

void Engine::State::publish() {
    const std::lock_guard lock(mutex);
    published = loop.metrics();
    const Scheduler& scheduler = loop.scheduler();
    held_pages.update(scheduler.cache());
    room.reset(options.n_parallel - scheduler.n_running(), scheduler.cache().n_available(),
               scheduler.n_waiting());
    for (const std::unique_ptr<Answer>& answer : inbox)
        room.add(n_pages_of(*answer));
}

// When a slot is likely to be free, by the answers so far. Called with the mutex held.
int Engine::State::retry_after_s() const {
    const LatencyHistogram& ages = published.e2e_request_latency;
    const auto n = std::accumulate(ages.counts.begin(), ages.counts.end(), std::uint64_t{0});
    if (n == 0) return 1;
    const double mean_s = ages.sum / static_cast<double>(n);
    return static_cast<int>(std::clamp(mean_s / options.n_parallel, 1.0, 1.0 * kLongestRetry_s));
}

Engine::Engine(Model& model, const Tokenizer& tokenizer, const EngineOptions& options)
    : state_(std::make_unique<State>(model, tokenizer, options)) {
    state_->thread = std::thread([this] { state_->run(); });
}

Engine::~Engine() {
    {
        const std::lock_guard lock(state_->mutex);
        state_->is_stopping = true;
    }
    state_->wake.notify_one();
    state_->thread.join();
}

void Engine::submit(Request request, std::shared_ptr<AnswerStream> stream) {
    check_request(request, state_->vocab_size, state_->context_size);
    auto answer = std::make_unique<Answer>(std::move(request), std::move(stream), state_->tokenizer,
                                           state_->context_size);
    {
        const std::lock_guard lock(state_->mutex);
        const int n_pages = state_->n_pages_of(*answer);
        if (!state_->room.has_room_for(n_pages)) {
            QueueFull full(
                fmt::format("{} requests wait already; try again later", state_->room.n_waiting()));
            full.retry_after_s = state_->retry_after_s();
            throw full;
        }
        state_->room.add(n_pages);
        state_->inbox.push_back(std::move(answer));
    }
    state_->wake.notify_one();
}

EngineMetrics Engine::metrics() const {
    const std::lock_guard lock(state_->mutex);
    EngineMetrics metrics = state_->published;
    metrics.n_waiting += static_cast<int>(state_->inbox.size());
    return metrics;
}

int Engine::context_size() const noexcept {
    return state_->context_size;
}

}  // namespace baltoro
