#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "cpu_kernels/isa.h"
#include "device/cpu_device.h"
#include "model/checkpoint_check.h"
#include "model/model.h"
#include "numa/team.h"

namespace baltoro::testing {

// Makes a device in place of the CPU's.
using DeviceMaker = std::function<std::unique_ptr<device::Device>()>;

// A checkpoint on a device, by default the CPU, without progress or tokenizer.
struct LoadedModel {
    LoadedModel(const std::string& directory,
                kernels::IsaLevel isa,
                int n_threads,
                int max_rows,
                const DeviceMaker& make_device = {},
                int rows_for_two_parts = 0,
                int device_experts = 0)
        : config(read_model_config(directory)),
          checkpoint(directory),
          // Without spinning: beside other processes the tests would wait for whole time slices.
          team(std::vector<numa::WorkerPlace>(static_cast<std::size_t>(n_threads)), 0),
          device(make_device ? make_device() : std::make_unique<device::CpuDevice>(team, isa)),
          model(config,
                checkpoint,
                *device,
                team,
                kernels::table_for(isa),
                {max_rows,
                 (config.max_position_embeddings + device::kPageTokens - 1) / device::kPageTokens,
                 rows_for_two_parts, device_experts}) {}

    ModelConfig config;
    Checkpoint checkpoint;
    numa::Team team;
    std::unique_ptr<device::Device> device;
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
