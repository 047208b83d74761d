#include "app/chunk_size.h"

#include <doctest/doctest.h>

using namespace baltoro;

namespace {

int chunk_size_for(int n_routed_experts, int num_experts_per_tok) {
    ModelConfig config;
    config.n_routed_experts = n_routed_experts;
    config.num_experts_per_tok = num_experts_per_tok;
    return default_chunk_size(config);
}

}  // namespace

TEST_CASE("a prefill step has more tokens where a token chooses fewer of the experts") {
    CHECK(chunk_size_for(384, 8) == 2048);
    CHECK(chunk_size_for(256, 8) == 1536);
    CHECK(chunk_size_for(64, 6) == 512);
    CHECK(chunk_size_for(12, 4) == 512);
    CHECK(chunk_size_for(1024, 1) == 2048);
}

TEST_CASE("a prefill step of a model without experts has 512 tokens") {
    CHECK(chunk_size_for(0, 0) == 512);
}
