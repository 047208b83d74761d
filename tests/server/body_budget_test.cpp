#include "server/body_budget.h"

#include <array>
#include <thread>
#include <utility>

#include <doctest/doctest.h>

using namespace baltoro::server;

TEST_CASE("a budget gives what it has and no more") {
    BodyBudget budget(100);
    CHECK(budget.take(60));
    CHECK(!budget.take(41));
    CHECK(!budget.take(std::size_t{0} - 1));
    CHECK(budget.take(40));
    CHECK(budget.n_taken() == 100);
    budget.give_back(100);
    CHECK(budget.n_taken() == 0);
}

TEST_CASE("a share grows, stays when refused, moves and gives back") {
    BodyBudget budget(100);
    {
        BodyShare share(budget);
        CHECK(share.grow_to(70));
        CHECK(share.grow_to(50));  // it has that
        CHECK(budget.n_taken() == 70);
        BodyShare other(budget);
        CHECK(other.grow_to(30));
        CHECK(!share.grow_to(71));
        CHECK(share.may_grow_to(70));
        CHECK(!share.may_grow_to(71));
        CHECK(budget.n_taken() == 100);
        other = std::move(share);
        CHECK(budget.n_taken() == 70);
        BodyShare third = std::move(other);
        CHECK(budget.n_taken() == 70);
        third.release();
        CHECK(budget.n_taken() == 0);
        CHECK(third.grow_to(1));
    }
    CHECK(budget.n_taken() == 0);
    CHECK(BodyShare().grow_to(std::size_t{1} << 60));
}

TEST_CASE("threads never take more than there is") {
    BodyBudget budget(10);
    std::array<std::thread, 4> threads;
    std::atomic<bool> exceeded = false;
    for (std::thread& thread : threads) {
        thread = std::thread([&] {
            for (int i = 0; i < 20'000; ++i) {
                if (!budget.take(3)) continue;
                if (budget.n_taken() > 10) exceeded = true;
                budget.give_back(3);
            }
        });
    }
    for (std::thread& thread : threads)
        thread.join();
    CHECK(!exceeded);
    CHECK(budget.n_taken() == 0);
}
