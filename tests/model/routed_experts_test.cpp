#include "model/routed_experts.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "tests/model/loaded_model.h"
#include "tests/reference/compare_outputs.h"

using namespace baltoro;
using namespace baltoro::testing;

namespace {

const std::string kTiny = std::string(BALTORO_GOLDEN_DIR) + "/oracle/k2-tiny";
constexpr int kTokens = 48;
constexpr int kChunk = 32;

// The workers of a machine that this one need not be.
std::vector<numa::WorkerPlace> unpinned(const numa::Topology& topology, int n_threads) {
    std::vector<numa::WorkerPlace> places = numa::place_workers(topology, n_threads);
    for (numa::WorkerPlace& place : places)
        place.cpu = -1;
    return places;
}

std::vector<std::int32_t> some_tokens(const ModelConfig& config) {
    std::vector<std::int32_t> tokens;
    for (int i = 0; i < kTokens; i++)
        tokens.push_back((i * 131 + 7) % config.vocab_size);
    return tokens;
}

ForwardOutput run_mapped(kernels::IsaLevel isa, StepKind kind) {
    LoadedModel loaded(kTiny, isa, 2, kChunk);
    return run_in_chunks(loaded.model, some_tokens(loaded.config), kChunk, kind);
}

// The same with the experts copied to the nodes of a machine of this kind.
ForwardOutput run_copied(const std::string& machine,
                         int n_threads,
                         kernels::IsaLevel isa,
                         StepKind kind) {
    const numa::Topology topology = numa::synthetic_topology(machine);
    const ModelConfig config = read_model_config(kTiny);
    const Checkpoint checkpoint(kTiny);
    numa::Team team(unpinned(topology, n_threads), 0);
    device::CpuDevice device(team, isa);
    const experts::Placement placement = experts::place_experts(team, config.moe_intermediate_size);
    experts::ExpertStore mapped = map_experts(config, checkpoint);
    experts::CopiedExperts copied({mapped, checkpoint.shards()}, placement, topology, team);
    Model model(config, checkpoint, device, team, kernels::table_for(isa),
                {kChunk, (kTokens + device::kPageTokens - 1) / device::kPageTokens},
                RoutedExperts(std::move(copied), std::move(mapped)));
    return run_in_chunks(model, some_tokens(config), kChunk, kind);
}

// |a - b| / |a| of one tensor part.
double relative_difference(std::span<const float> a, std::span<const float> b) {
    REQUIRE(a.size() == b.size());
    double difference = 0.0;
    double norm = 0.0;
    for (std::size_t i = 0; i < a.size(); i++) {
        const double x = static_cast<double>(a[i]);
        difference += (x - static_cast<double>(b[i])) * (x - static_cast<double>(b[i]));
        norm += x * x;
    }
    return std::sqrt(difference / norm);
}

}  // namespace

TEST_CASE("experts copied to one node give the bits of the mapped ones") {
    for (const kernels::IsaLevel isa : kernels::available_isas()) {
        for (const StepKind kind : {StepKind::prefill, StepKind::decode}) {
            CAPTURE(kernels::isa_name(isa));
            const ForwardOutput mapped = run_mapped(isa, kind);
            const ForwardOutput copied = run_copied("numa:1 core:3 pu:1", 3, isa, kind);
            CHECK(copied.logits == mapped.logits);
            CHECK(copied.hidden == mapped.hidden);
            CHECK(copied.routed_experts == mapped.routed_experts);
        }
    }
}

// Two partial sums are rounded in another order than one sum. After the first MoE layer that is
// all; later inputs are rounded to bf16, and a value at the edge then moves by 2^-9.
TEST_CASE("experts split over two nodes differ from the mapped ones by rounding") {
    const ModelConfig config = read_model_config(kTiny);
    const auto layer_values = static_cast<std::size_t>(kTokens) * config.hidden_size;
    const std::size_t first_moe = layer_values * config.first_k_dense_replace;
    for (const kernels::IsaLevel isa : kernels::available_isas()) {
        CAPTURE(kernels::isa_name(isa));
        const ForwardOutput mapped = run_mapped(isa, StepKind::decode);
        const ForwardOutput copied = run_copied("numa:2 core:2 pu:1", 3, isa, StepKind::decode);
        const auto first_layer = [&](const ForwardOutput& output) {
            return std::span<const float>(output.hidden)
                .subspan(first_moe, kChunk * config.hidden_size);
        };
        CHECK(relative_difference(first_layer(mapped), first_layer(copied)) <= 1e-5);
        const RowDifferences logits =
            compare_rows(mapped.logits, copied.logits, static_cast<std::size_t>(config.vocab_size));
        MESSAGE(logits.median, " ", logits.p90, " ",
                relative_difference(first_layer(mapped), first_layer(copied)));
        CHECK(logits.median <= 1e-2);
        CHECK(logits.p90 <= 5e-2);
    }
}

TEST_CASE("on two nodes the number of threads does not change a bit") {
    const kernels::IsaLevel isa = kernels::best_isa();
    const ForwardOutput two = run_copied("numa:2 core:4 pu:1", 2, isa, StepKind::prefill);
    for (const int n_threads : {3, 6}) {
        CAPTURE(n_threads);
        CHECK(run_copied("numa:2 core:4 pu:1", n_threads, isa, StepKind::prefill).logits ==
              two.logits);
    }
}

TEST_CASE("copied experts weigh as many bytes per token as mapped ones") {
    const numa::Topology topology = numa::synthetic_topology("numa:2 core:1 pu:1");
    const ModelConfig config = read_model_config(kTiny);
    const Checkpoint checkpoint(kTiny);
    numa::Team team(unpinned(topology, 2), 0);
    const RoutedExperts mapped(map_experts(config, checkpoint));
    const RoutedExperts copied(
        experts::CopiedExperts({mapped.source(), checkpoint.shards()},
                               experts::place_experts(team, config.moe_intermediate_size), topology,
                               team),
        map_experts(config, checkpoint));
    CHECK(copied.node_stores().size() == 2);
    CHECK(copied.bytes_per_row(4) == mapped.bytes_per_row(4));
    CHECK(copied.bytes_per_row(4) > 4 * 2 * 3 * 320 * 160);
}
