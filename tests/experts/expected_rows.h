#pragma once

#include "experts/expert_store.h"
#include "tests/experts/random_experts.h"

namespace baltoro::testing {

// Checks every row of batch.dst against a computation in double, within the bound that the
// roundings of the contract allow. Experts without data count as zero.
void check_rows(const RandomBatch& batch, const experts::ExpertStore& store);

}  // namespace baltoro::testing
