#include <cstring>
#include <stdexcept>
#include <vector>

#include <doctest/doctest.h>

#include "base/error.h"
#include "device/handoff.h"
#include "tests/device/test_platform.h"

namespace baltoro::device {
namespace {

using testing::make_test_platform;

// A device value that the stream and the host change by turns, so that any wrong order shows.
struct Turns {
    explicit Turns(GpuPlatform& gpu)
        : platform(gpu),
          value(static_cast<int*>(gpu.allocate(sizeof(int), MemoryKind::shared))),
          given(static_cast<int*>(gpu.allocate(sizeof(int), MemoryKind::device))) {}
    ~Turns() {
        platform.release(given, sizeof(int), MemoryKind::device);
        platform.release(value, sizeof(int), MemoryKind::shared);
    }

    void set_by_device(int n) {
        platform.copy_to_device(given, &n, sizeof n);
        platform.copy_within(value, given, sizeof n);
    }

    GpuPlatform& platform;
    int* value;  // shared
    int* given;  // device memory
    std::vector<int> seen;
};

// Sees what the device wrote last and writes its negative.
void negate(void* context) {
    Turns& turns = *static_cast<Turns*>(context);
    turns.seen.push_back(*turns.value);
    *turns.value = -*turns.value;
}

void fail(void*) {
    throw Error("the host's work failed");
}

EmulationOptions delayed(std::uint64_t seed) {
    EmulationOptions options;
    options.max_delay_us = 200;
    options.seed = seed;
    return options;
}

TEST_CASE("device and host take turns in the order of the stream, whatever is delayed") {
    for (std::uint64_t seed = 1; seed <= 8; seed++) {
        CAPTURE(seed);
        const auto platform = make_test_platform(delayed(seed));
        Handoff handoff(*platform);
        Turns turns(*platform);
        int* copies = static_cast<int*>(platform->allocate(20 * sizeof(int), MemoryKind::device));
        for (int i = 0; i < 20; i++) {
            turns.set_by_device(i + 1);
            const int number = handoff.begin({negate, &turns});
            handoff.end(number);
            platform->copy_within(copies + i, turns.value, sizeof(int));
        }
        handoff.serve();
        platform->wait();
        int negatives[20] = {};
        platform->copy_to_host(negatives, copies, sizeof negatives);
        platform->release(copies, 20 * sizeof(int), MemoryKind::device);
        REQUIRE(turns.seen.size() == 20);
        for (int i = 0; i < 20; i++) {
            CHECK(turns.seen[static_cast<std::size_t>(i)] == i + 1);
            CHECK(negatives[i] == -(i + 1));
        }
    }
}

TEST_CASE("the device works on between the beginning and the end of host work") {
    const auto platform = make_test_platform();
    Handoff handoff(*platform);
    Turns a(*platform);
    Turns b(*platform);
    a.set_by_device(3);
    const int first = handoff.begin({negate, &a});
    b.set_by_device(4);
    const int second = handoff.begin({negate, &b});
    handoff.end(first);
    handoff.end(second);
    handoff.serve();
    platform->wait();
    CHECK(*a.value == -3);
    CHECK(*b.value == -4);
}

// Were the works served in serve() alone, the stream would be full while it waits for the first.
TEST_CASE("a stream that holds few launches does not fill up with waits for the host") {
    EmulationOptions options = delayed(4);
    options.most_queued = 24;
    const auto platform = make_test_platform(options);
    Handoff handoff(*platform);
    Turns turns(*platform);
    for (int i = 0; i < 40; i++) {
        turns.set_by_device(i + 1);
        handoff.end(handoff.begin({negate, &turns}));
    }
    handoff.serve();
    platform->wait();
    REQUIRE(turns.seen.size() == 40);
    for (int i = 0; i < 40; i++)
        CHECK(turns.seen[static_cast<std::size_t>(i)] == i + 1);
}

TEST_CASE("what a work throws that runs early comes out of serve") {
    const auto platform = make_test_platform(delayed(5));
    Handoff handoff(*platform);
    Turns turns(*platform);
    handoff.end(handoff.begin({fail, nullptr}));
    for (int i = 0; i < 20; i++)
        handoff.end(handoff.begin({negate, &turns}));
    CHECK_THROWS_WITH_AS(handoff.serve(), "the host's work failed", Error);
    CHECK(turns.seen.empty());
    handoff.end(handoff.begin({negate, &turns}));
    handoff.serve();
    platform->wait();
    CHECK(turns.seen.size() == 1);
}

TEST_CASE("work that throws is reported, the rest is skipped and the stream goes on") {
    const auto platform = make_test_platform(delayed(3));
    Handoff handoff(*platform);
    Turns turns(*platform);
    handoff.end(handoff.begin({fail, nullptr}));
    handoff.end(handoff.begin({negate, &turns}));
    CHECK_THROWS_WITH_AS(handoff.serve(), "the host's work failed", Error);
    platform->wait();
    CHECK(turns.seen.empty());

    turns.set_by_device(7);
    handoff.end(handoff.begin({negate, &turns}));
    handoff.serve();
    platform->wait();
    CHECK(*turns.value == -7);
}

TEST_CASE("a step that is given up leaves no one waiting") {
    const auto platform = make_test_platform(delayed(4));
    Handoff handoff(*platform);
    Turns turns(*platform);
    const int number = handoff.begin({negate, &turns});
    handoff.end(number);
    (void)handoff.begin({negate, &turns});  // never ended
    handoff.skip();
    platform->wait();
    CHECK(turns.seen.empty());

    turns.set_by_device(9);
    handoff.end(handoff.begin({negate, &turns}));
    handoff.serve();
    platform->wait();
    CHECK(*turns.value == -9);
}

TEST_CASE("giving up a step leaves what steps before have begun") {
    const auto platform = make_test_platform(delayed(6));
    Handoff handoff(*platform);
    Turns turns(*platform);
    turns.set_by_device(5);
    handoff.end(handoff.begin({negate, &turns}));
    handoff.begin_step();
    handoff.end(handoff.begin({fail, nullptr}));
    (void)handoff.begin({negate, &turns});
    handoff.give_up_step();
    platform->wait();
    CHECK(turns.seen == std::vector<int>{5});
    CHECK(*turns.value == -5);
    handoff.serve();
}

TEST_CASE("an error of a step before outlives a step that is given up") {
    const auto platform = make_test_platform(delayed(7));
    Handoff handoff(*platform);
    Turns turns(*platform);
    handoff.end(handoff.begin({fail, nullptr}));
    handoff.begin_step();
    (void)handoff.begin({negate, &turns});
    handoff.give_up_step();
    CHECK_THROWS_WITH_AS(handoff.serve(), "the host's work failed", Error);
    platform->wait();
    CHECK(turns.seen.empty());
}

TEST_CASE("a step that is given up takes the error of its own work with it") {
    const auto platform = make_test_platform(delayed(8));
    Handoff handoff(*platform);
    Turns turns(*platform);
    handoff.begin_step();
    handoff.end(handoff.begin({fail, nullptr}));
    for (int i = 0; i < 8; i++)  // so many that the first runs early
        handoff.end(handoff.begin({negate, &turns}));
    handoff.give_up_step();
    handoff.serve();
    platform->wait();
    CHECK(turns.seen.empty());
}

}  // namespace
}  // namespace baltoro::device
