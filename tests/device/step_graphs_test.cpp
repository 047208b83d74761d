#include "device/step_graphs.h"

#include <doctest/doctest.h>

using namespace baltoro::device;

namespace {

// Counts how many of it there are.
class CountedGraph final : public GpuGraph {
  public:
    explicit CountedGraph(int& n_alive) : n_alive_(n_alive) { n_alive_++; }
    ~CountedGraph() override { n_alive_--; }
    void replay() override {}

  private:
    int& n_alive_;
};

constexpr std::int32_t kRows[] = {0, 1, 2, 3};

StepKey key(int n_rows, int n_splits) {
    return {n_rows, n_splits, {kRows, static_cast<std::size_t>(n_rows)}};
}

}  // namespace

TEST_CASE("a step is known when it comes again with the same rows, parts and logits") {
    StepGraphs graphs(4);
    CHECK(graphs.visit(key(2, 4)) == nullptr);
    StepGraphs::Entry* entry = graphs.visit(key(2, 4));
    REQUIRE(entry != nullptr);
    CHECK(entry->graph == nullptr);
    CHECK(graphs.visit(key(2, 8)) == nullptr);
    CHECK(graphs.visit(key(3, 4)) == nullptr);
    CHECK(graphs.visit({2, 4, {kRows + 1, 1}}) == nullptr);
    CHECK(graphs.visit(key(2, 4)) == entry);
}

TEST_CASE("the kind of step that came longest ago gives up its graph") {
    int n_alive = 0;
    StepGraphs graphs(2);
    for (const int n_rows : {1, 2}) {
        (void)graphs.visit(key(n_rows, 1));
        graphs.visit(key(n_rows, 1))->graph = std::make_unique<CountedGraph>(n_alive);
    }
    CHECK(n_alive == 2);
    CHECK(graphs.visit(key(1, 1)) != nullptr);
    CHECK(graphs.visit(key(3, 1)) == nullptr);  // in the place of 2
    CHECK(n_alive == 1);
    CHECK(graphs.visit(key(1, 1)) != nullptr);
    CHECK(graphs.visit(key(2, 1)) == nullptr);
    CHECK(n_alive == 1);
}

TEST_CASE("no graph is left after clear, and none is kept by a holder of none") {
    int n_alive = 0;
    StepGraphs graphs(2);
    (void)graphs.visit(key(1, 1));
    graphs.visit(key(1, 1))->graph = std::make_unique<CountedGraph>(n_alive);
    graphs.clear();
    CHECK(n_alive == 0);
    CHECK(graphs.visit(key(1, 1)) == nullptr);
    StepGraphs none(0);
    CHECK(none.visit(key(1, 1)) == nullptr);
    CHECK(none.visit(key(1, 1)) == nullptr);
}
