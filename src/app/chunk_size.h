#pragma once

#include "model/config.h"

namespace baltoro {

// Most tokens of one prefill step where none are asked for, 512 to 2,048. A step reads every
// expert, however few of its tokens choose it, so the more of them the better: an expert should
// meet 40. But answers that are being written wait for the step.
int default_chunk_size(const ModelConfig& config) noexcept;

}  // namespace baltoro
