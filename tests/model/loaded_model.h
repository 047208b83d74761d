#pragma once

#include <string>
#include <vector>

#include "cpu_kernels/isa.h"
#include "device/cpu_device.h"
#include "model/checkpoint_check.h"
#include "model/model.h"
#include "numa/team.h"

namespace baltoro::testing {

// A checkpoint on the CPU device, without progress or tokenizer.
struct LoadedModel {
    LoadedModel(const std::string& directory, kernels::IsaLevel isa, int n_threads, int max_rows)
        : config(read_model_config(directory)),
          checkpoint(directory),
          // Without spinning: beside other processes the tests would wait for whole time slices.
          team(std::vector<numa::WorkerPlace>(static_cast<std::size_t>(n_threads)), 0),
          device(team, isa),
          model(config,
                checkpoint,
                device,
                team,
                kernels::table_for(isa),
                {max_rows, (config.max_position_embeddings + device::kPageTokens - 1) /
                               device::kPageTokens}) {}

    ModelConfig config;
    Checkpoint checkpoint;
    numa::Team team;
    device::CpuDevice device;
    Model model;
};

// Logits [T, vocab], hidden states [L, T, H] and experts [L_moe, T, k] of tokens run in chunks.
struct ForwardOutput {
    std::vector<float> logits;
    std::vector<float> hidden;
    std::vector<std::int32_t> routed_experts;
};
ForwardOutput run_in_chunks(Model& model,
                            const std::vector<std::int32_t>& tokens,
                            int chunk,
                            StepKind kind = StepKind::prefill);

}  // namespace baltoro::testing
