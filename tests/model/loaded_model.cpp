#include "tests/model/loaded_model.h"

#include <algorithm>
#include <numeric>

namespace baltoro::testing {

ForwardOutput run_in_chunks(Model& model,
                            const std::vector<std::int32_t>& tokens,
                            int chunk,
                            StepKind kind) {
    ForwardOutput output;
    Trace trace;
    std::vector<std::int32_t> pages(static_cast<std::size_t>(model.limits().n_pages));
    std::iota(pages.rbegin(), pages.rend(), 0);  // not the identity: page tables must be followed
    for (std::size_t begin = 0; begin < tokens.size(); begin += static_cast<std::size_t>(chunk)) {
        const std::size_t n = std::min(static_cast<std::size_t>(chunk), tokens.size() - begin);
        std::vector<std::int32_t> rows(n);
        std::iota(rows.begin(), rows.end(), 0);
        const device::SequenceRows sequence{0, static_cast<int>(n), static_cast<int>(begin), pages};
        const std::span<const float> logits =
            model.forward({{tokens.data() + begin, n}, {&sequence, 1}, rows, kind}, &trace);
        output.logits.insert(output.logits.end(), logits.begin(), logits.end());
    }
    for (const std::vector<float>& layer : trace.hidden)
        output.hidden.insert(output.hidden.end(), layer.begin(), layer.end());
    for (const std::vector<std::int32_t>& layer : trace.routed_experts)
        output.routed_experts.insert(output.routed_experts.end(), layer.begin(), layer.end());
    return output;
}

}  // namespace baltoro::testing
