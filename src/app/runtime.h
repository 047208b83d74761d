#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "app/options.h"
#include "cpu_kernels/isa.h"
#include "device/device.h"
#include "model/model.h"
#include "numa/team.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"
#include "weights/checkpoint.h"

namespace baltoro {

// Which files a command needs besides configuration and weights.
enum class TextFiles { none, required };

// The composition root: checks the options, opens the checkpoint and wires team, device and model.
// Members are in order of construction; each may refer to those above it. One owner, engine thread.
struct Runtime {
    ModelConfig config;
    Checkpoint checkpoint;
    kernels::IsaLevel isa;
    std::unique_ptr<numa::Team> team;
    std::unique_ptr<device::Device> device;
    std::unique_ptr<Model> model;
    std::optional<Tokenizer> tokenizer;
    ChatFormat chat_format = ChatFormat::k2_instruct;
    int context_size = 0;  // tokens
    double load_s = 0.0;   // from opening the files to being ready
};

// Makes the device in place of the one that the options name.
using DeviceMaker =
    std::function<std::unique_ptr<device::Device>(numa::Team& team, kernels::IsaLevel level)>;

// Throws Error with one clear line for everything that can be wrong with options or files.
Runtime make_runtime(const RuntimeOptions& options,
                     TextFiles text_files,
                     const DeviceMaker& make_device = {});

}  // namespace baltoro
