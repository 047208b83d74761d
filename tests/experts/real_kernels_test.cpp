#include <cstdint>

#include <doctest/doctest.h>

#include "cpu_kernels/isa.h"
#include "experts/expert_executor.h"
#include "tests/experts/expected_rows.h"
#include "tests/experts/random_experts.h"

using namespace baltoro;
using namespace baltoro::experts;
using baltoro::testing::check_rows;
using baltoro::testing::RandomBatch;
using baltoro::testing::RandomExperts;

namespace {

constexpr ExpertShapes kShapes{272, 144, 2, 24};  // ragged scale blocks
constexpr int kExperts = 4;

}  // namespace

TEST_CASE("the kernels of every level here give the experts' weighted sum") {
    for (const kernels::WeightFormat format :
         {kernels::WeightFormat::bf16, kernels::WeightFormat::fp8_block}) {
        const RandomExperts experts(1, kShapes, 1, kExperts, format);
        for (const kernels::IsaLevel level : kernels::available_isas()) {
            CAPTURE(kernels::isa_name(level));
            kernels::Table table = kernels::table_for(level);
            numa::Team team(std::vector<numa::WorkerPlace>(3));
            for (const int panel_min_rows : {12, 13}) {  // a full batch has 12 rows per expert
                CAPTURE(panel_min_rows);
                table.panel_min_rows = panel_min_rows;
                ExpertExecutor executor(team, table, experts.store(), kShapes);
                RandomBatch batch(2, kShapes, kShapes.max_rows, kExperts);
                executor.run(batch.all());
                check_rows(batch, experts.store());
            }
        }
    }
}

TEST_CASE("with every level's kernels a row's bits do not depend on its batch") {
    const RandomExperts experts(3, kShapes, 1, kExperts, kernels::WeightFormat::fp8_block);
    for (const kernels::IsaLevel level : kernels::available_isas()) {
        CAPTURE(kernels::isa_name(level));
        kernels::Table table = kernels::table_for(level);
        numa::Team one(std::vector<numa::WorkerPlace>(1));
        numa::Team three(std::vector<numa::WorkerPlace>(3));
        for (const int panel_min_rows : {12, 13}) {
            CAPTURE(panel_min_rows);
            table.panel_min_rows = panel_min_rows;
            ExpertExecutor alone(one, table, experts.store(), kShapes);
            ExpertExecutor together(three, table, experts.store(), kShapes);
            RandomBatch all(4, kShapes, kShapes.max_rows, kExperts);
            RandomBatch single = all;
            together.run(all.all());
            for (int r = 0; r < kShapes.max_rows; ++r)
                alone.run(single.rows(r, 1));
            CHECK(all.dst == single.dst);
        }
    }
}
