#include "engine/generation.h"

#include <algorithm>
#include <chrono>

namespace baltoro {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin) {
    return std::chrono::duration<double>(Clock::now() - begin).count();
}

bool is_stop(const GenerationRequest& request, std::int32_t id) {
    return std::find(request.stop_ids.begin(), request.stop_ids.end(), id) !=
           request.stop_ids.end();
}

}  // namespace

GenerationStats generate(Session& session, Sampler& sampler, const GenerationRequest& request) {
    GenerationStats stats;
    const auto prefill_begin = Clock::now();
    const auto goes_on = [&](int, int) { return !request.is_cancelled || !request.is_cancelled(); };
    std::span<const float> logits = session.prefill(request.prompt, goes_on);
    stats.prefill_s = seconds_since(prefill_begin);
    stats.prefill_tokens = session.prefilled();
    if (logits.empty()) {
        stats.reason = FinishReason::cancelled;
        return stats;
    }

    const auto decode_begin = Clock::now();
    for (int n = 1;; n++) {
        const std::int32_t id = sampler.draw(logits);
        if (is_stop(request, id)) break;
        if (request.on_token) request.on_token(id);
        if (request.max_tokens > 0 && n == request.max_tokens) stats.reason = FinishReason::length;
        if (static_cast<int>(session.tokens().size()) >= session.context_size())
            stats.reason = FinishReason::context_full;
        if (!goes_on(0, 0)) stats.reason = FinishReason::cancelled;
        if (stats.reason != FinishReason::stop) break;
        logits = session.step(id);
        stats.decode_tokens++;
    }
    stats.decode_s = seconds_since(decode_begin);
    session.end_answer();
    return stats;
}

}  // namespace baltoro
