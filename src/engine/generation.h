#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "engine/finish_reason.h"
#include "engine/session.h"
#include "sampling/sampler.h"

namespace baltoro {

// What one answer took.
struct GenerationStats {
    int prefill_tokens = 0;  // computed; tokens found in the cache do not count
    double prefill_s = 0.0;
    int decode_tokens = 0;  // steps after the first token, which the prefill gives
    double decode_s = 0.0;
    FinishReason reason = FinishReason::stop;
};

struct GenerationRequest {
    std::span<const std::int32_t> prompt;
    int max_tokens = 0;  // 0: until a stop token or the end of the context
    std::span<const int> stop_ids;
    // Called with every token that belongs to the answer (stop tokens do not).
    std::function<void(std::int32_t)> on_token;
    // Asked between steps; true ends the answer.
    std::function<bool()> is_cancelled;
};

// Prefills the prompt and draws tokens until the answer ends. Engine thread. Throws Error as
// Session::prefill does.
GenerationStats generate(Session& session, Sampler& sampler, const GenerationRequest& request);

}  // namespace baltoro
