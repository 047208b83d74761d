#include "engine/held_pages.h"

#include <algorithm>
#include <numeric>
#include <vector>

#include <doctest/doctest.h>

using namespace baltoro;

namespace {

Sequence sequence_of(int n_prompt) {
    Sequence sequence;
    sequence.tokens.resize(static_cast<std::size_t>(n_prompt));
    std::iota(sequence.tokens.begin(), sequence.tokens.end(), 0);
    sequence.n_prompt = n_prompt;
    return sequence;
}

// Runs the sequence up to its `n_computed`-th token.
void run(Scheduler& scheduler, Sequence& sequence, int n_computed) {
    scheduler.submit(sequence);
    while (sequence.n_computed < n_computed) {
        (void)scheduler.plan_step();  // which may find cached pages
        if (sequence.n_computed < n_computed)
            scheduler.advance(sequence, std::min(n_computed, sequence.n_computed + 64));
    }
}

}  // namespace

TEST_CASE("a sequence shares the complete pages that a running one holds") {
    Scheduler scheduler(20, {2, 64, 1280});
    HeldPages held(20);
    Sequence running = sequence_of(600);
    run(scheduler, running, 400);
    held.update(scheduler.cache());
    CHECK(held.n_shared_by(sequence_of(1000)) == 6);
    CHECK(held.n_shared_by(sequence_of(300)) == 4);
    CHECK(held.n_shared_by(sequence_of(256)) == 3);  // its last token is computed
    CHECK(held.n_shared_by(sequence_of(150)) == 0);  // by other arithmetic
    Sequence other = sequence_of(600);
    other.tokens[130]++;
    CHECK(held.n_shared_by(other) == 2);
    Sequence scored = sequence_of(600);
    scored.first_wanted_row = 0;
    CHECK(held.n_shared_by(scored) == 0);

    scheduler.finish(running);  // its pages are cached, and free as well
    held.update(scheduler.cache());
    CHECK(held.n_shared_by(sequence_of(1000)) == 0);
    run(scheduler, other, 128);
    held.update(scheduler.cache());
    CHECK(held.n_shared_by(sequence_of(1000)) == 2);
}

TEST_CASE("what can be shared makes room for what could not be admitted otherwise") {
    Scheduler scheduler(20, {2, 64, 1280});
    HeldPages held(20);
    Sequence running = sequence_of(1000);
    run(scheduler, running, 1000);
    Sequence next = sequence_of(1050);
    held.update(scheduler.cache());
    const int n_needed = n_pages_to_admit(1050, 1280);
    CHECK(n_needed > scheduler.cache().n_available());
    CHECK(n_needed - held.n_shared_by(next) == scheduler.cache().n_available());
    scheduler.submit(next);
    CHECK(scheduler.plan_step().admitted == std::vector<Sequence*>{&next});
}
