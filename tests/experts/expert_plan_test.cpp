#include "experts/expert_plan.h"

#include <vector>

#include <doctest/doctest.h>

using namespace baltoro::experts;

namespace {

template <typename T>
std::vector<T> to_vector(std::span<const T> values) {
    return {values.begin(), values.end()};
}

}  // namespace

TEST_CASE("a plan groups rows by ascending expert, rows ascending") {
    ExpertPlan plan(4, 6, 2);
    const std::vector<std::int32_t> ids{5, 1, 1, 0, 5, 0};
    const std::vector<float> gains{0.1f, 0.2f, 0.3f, 0.4f, 0.5f, 0.6f};
    REQUIRE(plan.build(ids, gains, 3));
    REQUIRE(plan.groups().size() == 3);
    CHECK(plan.groups()[0].expert_idx == 0);
    CHECK(plan.groups()[1].expert_idx == 1);
    CHECK(plan.groups()[2].expert_idx == 5);
    CHECK(plan.groups()[1].first == 2);
    CHECK(plan.groups()[1].n_rows == 2);
    CHECK(to_vector(plan.rows()) == std::vector<std::int32_t>{1, 2, 0, 1, 0, 2});
    CHECK(to_vector(plan.gains()) == std::vector<float>{0.4f, 0.6f, 0.2f, 0.3f, 0.1f, 0.5f});
}

TEST_CASE("a plan can be built again for another batch") {
    ExpertPlan plan(4, 3, 1);
    REQUIRE(plan.build(std::vector<std::int32_t>{2, 2, 0, 1}, std::vector<float>(4, 1), 4));
    REQUIRE(plan.build(std::vector<std::int32_t>{1}, std::vector<float>{2}, 1));
    REQUIRE(plan.groups().size() == 1);
    CHECK(plan.groups()[0].expert_idx == 1);
    CHECK(plan.groups()[0].first == 0);
    CHECK(to_vector(plan.gains()) == std::vector<float>{2});
}

TEST_CASE("an id out of range plans nothing") {
    ExpertPlan plan(2, 3, 1);
    CHECK_FALSE(plan.build(std::vector<std::int32_t>{0, 3}, std::vector<float>(2, 1), 2));
    CHECK(plan.groups().empty());
    CHECK_FALSE(plan.build(std::vector<std::int32_t>{-1}, std::vector<float>(1, 1), 1));
    CHECK(plan.rows().empty());
}

TEST_CASE("a plan of no rows is empty") {
    ExpertPlan plan(2, 3, 2);
    REQUIRE(plan.build({}, {}, 0));
    CHECK(plan.groups().empty());
}
