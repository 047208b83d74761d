#include "model/resident_experts.h"

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <numeric>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "base/error.h"
#include "device/emulated_platform.h"
#include "device/gpu_device.h"
#include "model/model.h"
#include "tests/model/loaded_model.h"
#include "tests/weights/temporary_checkpoint.h"

using namespace baltoro;
using namespace baltoro::testing;

namespace {

const std::string kTiny = std::string(BALTORO_GOLDEN_DIR) + "/oracle/k2-tiny";
constexpr int kGpuExperts = 5;
constexpr int kExperts = 12;

// A model with some experts on an emulated GPU and the others where the checkpoint lies, or copied.
struct SharedModel {
    explicit SharedModel(bool is_copied, const std::string& directory = kTiny)
        : config(read_model_config(directory)),
          checkpoint(directory),
          topology(numa::synthetic_topology("numa:1 core:2 pu:1")),
          team(std::vector<numa::WorkerPlace>(2), 0),
          device(device::make_emulated_platform()),
          model(config,
                checkpoint,
                device,
                team,
                kernels::table_for(kernels::best_isa()),
                {8, 1, 0, kGpuExperts},
                is_copied ? copied() : RoutedExperts(map_experts(config, checkpoint))) {}

    // All but the first of each layer.
    RoutedExperts copied() {
        experts::ExpertStore mapped = map_experts(config, checkpoint);
        experts::Placement placement = experts::place_experts(team, config.moe_intermediate_size);
        for (int i = 0; i < config.n_moe_layers() * kExperts; i++)
            placement.lives_elsewhere.push_back(i % kExperts < kGpuExperts);
        experts::CopiedExperts copies({mapped, checkpoint.shards()}, placement, topology, team);
        copied_bytes = copies.memory().size_bytes;
        return {std::move(copies), std::move(mapped)};
    }

    ModelConfig config;
    Checkpoint checkpoint;
    numa::Topology topology;
    numa::Team team;
    device::GpuDevice device;
    std::uint64_t copied_bytes = 0;
    Model model;
};

// The same parts without the model.
struct SharedExperts {
    explicit SharedExperts(const std::string& directory = kTiny)
        : config(read_model_config(directory)),
          checkpoint(directory),
          team(std::vector<numa::WorkerPlace>(2), 0),
          device(device::make_emulated_platform()),
          routed(copied()),
          resident(config, device, routed, {checkpoint.shards(), true}, kGpuExperts) {}

    RoutedExperts copied() {
        experts::ExpertStore mapped = map_experts(config, checkpoint);
        experts::Placement placement = experts::place_experts(team, config.moe_intermediate_size);
        for (int i = 0; i < config.n_moe_layers() * kExperts; i++)
            placement.lives_elsewhere.push_back(i % kExperts < kGpuExperts);
        experts::CopiedExperts copies({mapped, checkpoint.shards()}, placement,
                                      numa::synthetic_topology("numa:1 core:2 pu:1"), team);
        return {std::move(copies), std::move(mapped)};
    }

    // Makes this expert of a layer hot, and of those on the GPU all but expert 2.
    void use(int moe_layer_idx, int expert_idx) {
        std::vector<std::int32_t> ids(20, expert_idx);
        for (const std::int32_t used : {0, 1, 3, 4})
            ids.insert(ids.end(), 20, used);
        resident.count(moe_layer_idx, ids);
    }

    ModelConfig config;
    Checkpoint checkpoint;
    numa::Team team;
    device::GpuDevice device;
    RoutedExperts routed;
    ResidentExperts resident;
};

}  // namespace

TEST_CASE("experts on the GPU need no copies, and those that leave it get the places of others") {
    SharedModel mapped(false);
    SharedModel copied(true);
    // Scales of 2 x 3 blocks take a cache line.
    CHECK(copied.copied_bytes ==
          std::uint64_t{2} * (kExperts - kGpuExperts) * 3 * (320 * 160 + 64));
    std::vector<std::int32_t> tokens(6);
    for (int round = 0; round < 3; round++) {
        CAPTURE(round);
        std::iota(tokens.begin(), tokens.end(), 40 * round);
        const ForwardOutput expected = run_in_chunks(mapped.model, tokens, 6, StepKind::decode);
        const ForwardOutput output = run_in_chunks(copied.model, tokens, 6, StepKind::decode);
        CHECK(output.routed_experts == expected.routed_experts);
        CHECK(output.logits == expected.logits);
        mapped.model.move_hot_experts();
        copied.model.move_hot_experts();
    }
}

// A step without logits is not waited for.
TEST_CASE("experts do not move while a step is under way") {
    const std::vector<std::int32_t> pages = {0};
    const std::int32_t last = 7;
    const auto run = [&](SharedModel& shared, int first, bool has_logits) {
        std::vector<std::int32_t> tokens(8);
        std::iota(tokens.begin(), tokens.end(), 5 * first);
        const device::SequenceRows rows{0, 8, first, pages};
        const std::span<const float> logits = shared.model.forward(
            {tokens, {&rows, 1}, {&last, has_logits ? 1u : 0u}, StepKind::prefill});
        return std::vector<float>(logits.begin(), logits.end());
    };
    SharedModel awaited(false);
    SharedModel under_way(false);
    for (SharedModel* shared : {&awaited, &under_way}) {
        (void)run(*shared, 0, true);
        (void)run(*shared, 8, shared == &awaited);
        shared->model.move_hot_experts();
    }
    CHECK(run(under_way, 16, true) == run(awaited, 16, true));
}

TEST_CASE("an expert that becomes hot takes a slot, and the one it drives out takes its place") {
    SharedExperts shared;
    const experts::ExpertStore& store = shared.routed.node_stores()[0];
    const ResidentExperts& resident = shared.resident;
    const void* place = store.expert(1, 7).down.data;
    REQUIRE(place != nullptr);

    shared.use(1, 7);
    shared.resident.move_hot();
    CHECK(resident.slot_of(1)[7] == 2);
    CHECK(resident.slot_of(1)[2] == -1);
    CHECK(store.expert(1, 7).down.data == nullptr);
    const kernels::Weight& copy = store.expert(1, 2).down;
    const kernels::Weight& whole = shared.routed.source().expert(1, 2).down;
    REQUIRE(copy.data == place);
    CHECK(std::memcmp(copy.data, whole.data, std::size_t{320} * 160) == 0);
    CHECK(std::memcmp(copy.scale, whole.scale, std::size_t{6} * sizeof(float)) == 0);
    CHECK(resident.slot_of(0)[2] == 2);  // the other layer has not changed
    CHECK(store.expert(0, 7).down.data != nullptr);
}

// Expert 11 of layer 0 lies in both shards, so the first of its matrices can be read.
TEST_CASE("an expert that cannot be read whole leaves both sides as they were") {
    const TemporaryDirectory directory;
    std::filesystem::copy(kTiny, directory.path);
    SharedExperts shared(directory.path.string());
    const std::byte* slots = shared.resident.on_device(0, nullptr, 0, nullptr).slots;
    const std::size_t n_bytes = kGpuExperts * std::size_t{3} * 320 * 160;
    shared.device.finish();
    const std::vector<std::byte> before(slots, slots + n_bytes);

    std::filesystem::resize_file(directory.path / "model-00002-of-00002.safetensors", 100);
    shared.use(0, 11);
    CHECK_THROWS_AS(shared.resident.move_hot(), Error);
    shared.device.finish();
    CHECK(std::equal(before.begin(), before.end(), slots));
    CHECK(shared.resident.slot_of(0)[11] == -1);
    CHECK(shared.resident.slot_of(0)[2] == 2);
    CHECK(shared.routed.node_stores()[0].expert(0, 11).down.data != nullptr);
    CHECK(shared.routed.node_stores()[0].expert(0, 2).down.data == nullptr);
}

// With copies nobody touches the shard while the model runs, except for experts that move.
TEST_CASE(
    "a shard that shrinks while the model runs ends the moving of experts, and nothing else") {
    const TemporaryDirectory directory;
    std::filesystem::copy(kTiny, directory.path);
    SharedModel intact(true);
    SharedModel damaged(true, directory.path.string());
    const std::filesystem::path shard = directory.path / "model-00002-of-00002.safetensors";
    const auto size = std::filesystem::file_size(shard);
    std::vector<std::int32_t> tokens(6);
    const auto run = [&](SharedModel& shared, int round) {
        std::iota(tokens.begin(), tokens.end(), 40 * round);
        return run_in_chunks(shared.model, tokens, 6, StepKind::decode);
    };
    // When the shard has its size again its bytes are zeros: an expert that moved would show.
    for (int round = 0; round < 3; round++) {
        CAPTURE(round);
        const ForwardOutput expected = run(intact, round);
        const ForwardOutput output = run(damaged, round);
        CHECK(output.routed_experts == expected.routed_experts);
        CHECK(output.logits == expected.logits);
        std::filesystem::resize_file(shard, round == 0 ? 100'000 : size);
        damaged.model.move_hot_experts();
    }
}
