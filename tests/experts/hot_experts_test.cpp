#include "experts/hot_experts.h"

#include <vector>

#include <doctest/doctest.h>

using namespace baltoro::experts;

namespace {

void use(HotExperts& experts, int layer, std::int32_t expert, int times) {
    const std::vector<std::int32_t> ids(static_cast<std::size_t>(times), expert);
    experts.count(layer, ids);
}

}  // namespace

TEST_CASE("the first experts of each layer have the slots at first") {
    const HotExperts experts(2, 6, 2);
    for (int l = 0; l < 2; l++) {
        CHECK(experts.slot_of(l)[0] == 0);
        CHECK(experts.slot_of(l)[1] == 1);
        CHECK(experts.slot_of(l)[2] == -1);
        CHECK(experts.expert_in(l, 1) == 1);
    }
    CHECK(HotExperts(1, 3, 8).slots_per_layer() == 3);
}

TEST_CASE("hot experts take the slots of cold ones, the greatest gain first") {
    HotExperts experts(2, 6, 2);
    use(experts, 0, 0, 10);
    use(experts, 0, 4, 30);
    use(experts, 1, 5, 90);
    use(experts, 1, 3, 80);
    const std::vector<ExpertMove> moves = experts.plan(10);
    REQUIRE(moves.size() == 3);
    CHECK(moves[0].moe_layer_idx == 1);
    CHECK(moves[0].expert_idx == 5);
    CHECK(moves[1].expert_idx == 3);
    CHECK(moves[2].moe_layer_idx == 0);
    CHECK(moves[2].expert_idx == 4);
    CHECK(moves[2].evicted_expert_idx == 1);  // 0 was used
    CHECK(moves[2].slot == 1);
    for (const ExpertMove& move : moves)
        experts.apply(move);
    CHECK(experts.slot_of(0)[4] == 1);
    CHECK(experts.slot_of(0)[1] == -1);
    CHECK(experts.slot_of(0)[0] == 0);
    CHECK(experts.expert_in(1, 0) + experts.expert_in(1, 1) == 8);
}

TEST_CASE("near-equals and rare guests do not change places") {
    HotExperts experts(1, 4, 1);
    use(experts, 0, 0, 20);
    use(experts, 0, 1, 29);
    CHECK(experts.plan(10).empty());
    HotExperts rare(1, 4, 1);
    use(rare, 0, 2, 3);
    CHECK(rare.plan(10).empty());
}

TEST_CASE("counts fade, so that an expert that is used no more loses its slot") {
    HotExperts experts(1, 4, 1);
    use(experts, 0, 0, 1000);
    int n_plans = 0;
    for (; n_plans < 20; n_plans++) {
        use(experts, 0, 3, 20);
        const std::vector<ExpertMove> moves = experts.plan(10);
        if (moves.empty()) continue;
        CHECK(moves[0].expert_idx == 3);
        break;
    }
    CHECK(n_plans > 2);
    CHECK(n_plans < 10);
}

TEST_CASE("a plan is bounded, and hits are counted") {
    HotExperts experts(3, 4, 2);
    for (int l = 0; l < 3; l++)
        use(experts, l, 3, 50);
    CHECK(experts.plan(2).size() == 2);
    use(experts, 0, 0, 50);
    CHECK(experts.hit_share() == doctest::Approx(0.25));
}
