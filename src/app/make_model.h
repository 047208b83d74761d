#pragma once

#include <cstdint>

#include "app/options.h"

namespace baltoro {

struct MadeModel {
    std::uint64_t n_tensors = 0;
    std::uint64_t n_bytes = 0;  // of the tensors
    std::uint64_t n_shards = 0;
};

// Writes a random checkpoint in the Hugging Face layout of Kimi-K2-Instruct: shards (about one per
// layer), index, configurations and tokenizer files. The bytes depend on shape, layers, experts and
// seed alone, not on the number of threads. The index is written last, so what an interrupted run
// leaves does not look like a checkpoint. Throws Error for an unknown shape, options out of range,
// a directory that is not empty or cannot be created, and a disk without the space.
MadeModel make_model(const MakeModelCommand& command);

}  // namespace baltoro
