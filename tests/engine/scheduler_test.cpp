#include "engine/scheduler.h"

#include <algorithm>
#include <memory>
#include <vector>

#include <doctest/doctest.h>

#include "base/random.h"
#include "engine/prompt_steps.h"

using namespace baltoro;

namespace {

constexpr int kPage = device::kPageTokens;

std::uint64_t mix(std::uint64_t previous, std::uint64_t value) {
    return Random(previous ^ value).next();
}

std::uint64_t arithmetic_of(StepKind kind) {
    return kind == StepKind::prefill ? 1u << 20 : 0;
}

std::uint64_t row_after(std::uint64_t previous, std::int32_t token, std::uint64_t arithmetic) {
    return mix(previous, static_cast<std::uint64_t>(token) + arithmetic);
}

// A row's value depends on the row before it, as the cache holds it, on its token and on how it was
// computed: any page that holds something else than it should changes all that follows.
struct FakeModel {
    std::vector<std::uint64_t> rows;

    explicit FakeModel(int n_pages) : rows(static_cast<std::size_t>(n_pages) * kPage) {}

    std::uint64_t& row(const Sequence& sequence, int position) {
        const auto page =
            static_cast<std::size_t>(sequence.pages.at(static_cast<std::size_t>(position / kPage)));
        return rows[page * kPage + static_cast<std::size_t>(position % kPage)];
    }
    std::uint64_t compute(const Sequence& sequence, int begin, int end, StepKind kind) {
        std::uint64_t value = begin == 0 ? 0 : row(sequence, begin - 1);
        for (int i = begin; i < end; i++) {
            value = row_after(value, sequence.tokens.at(static_cast<std::size_t>(i)),
                              arithmetic_of(kind));
            row(sequence, i) = value;
        }
        return value;
    }
};

std::int32_t drawn(std::uint64_t value) {
    return static_cast<std::int32_t>(value % 1000);
}

// The answer of a sequence that runs alone and without a cache.
std::vector<std::int32_t> expected_answer(const std::vector<std::int32_t>& prompt, int n) {
    const StepKind kind =
        static_cast<int>(prompt.size()) >= kShortestPrefill ? StepKind::prefill : StepKind::decode;
    std::uint64_t value = 0;
    for (const std::int32_t token : prompt)
        value = row_after(value, token, arithmetic_of(kind));
    std::vector<std::int32_t> answer;
    for (int i = 0; i < n; i++) {
        answer.push_back(drawn(value));
        value = row_after(value, answer.back(), arithmetic_of(StepKind::decode));
    }
    return answer;
}

struct Answer {
    Sequence sequence;
    int n_wanted = 1;
    int finished_at = -1;  // step
    int admitted_at = -1;

    std::vector<std::int32_t> tokens() const {
        return {sequence.tokens.begin() + sequence.n_prompt, sequence.tokens.end()};
    }
};

std::vector<std::int32_t> prompt_of(int n, int first = 0) {
    std::vector<std::int32_t> tokens;
    for (int i = 0; i < n; i++)
        tokens.push_back(first * 10000 + i);
    return tokens;
}

void check_as_alone(const Answer& answer) {
    CAPTURE(answer.sequence.answer_idx);
    const std::vector<std::int32_t> prompt(
        answer.sequence.tokens.begin(), answer.sequence.tokens.begin() + answer.sequence.n_prompt);
    CHECK(answer.tokens() == expected_answer(prompt, static_cast<int>(answer.tokens().size())));
}

struct Simulation {
    Scheduler scheduler;
    FakeModel model;
    std::vector<std::unique_ptr<Answer>> answers;
    std::vector<int> full;
    int n_steps = 0;
    int longest_step = 0;
    int n_preempted = 0;

    Simulation(int n_pages, const SchedulerOptions& options)
        : scheduler(n_pages, options), model(n_pages) {}

    Answer& submit(std::vector<std::int32_t> prompt, int n_wanted) {
        auto answer = std::make_unique<Answer>();
        answer->sequence.n_prompt = static_cast<int>(prompt.size());
        answer->sequence.tokens = std::move(prompt);
        answer->sequence.answer_idx = static_cast<int>(answers.size());
        answer->n_wanted = n_wanted;
        answers.push_back(std::move(answer));
        scheduler.submit(answers.back()->sequence);
        return *answers.back();
    }
    Answer& of(const Sequence* sequence) {
        return *answers[static_cast<std::size_t>(sequence->answer_idx)];
    }
    void finish(Answer& answer) {
        answer.finished_at = n_steps;
        scheduler.finish(answer.sequence);
    }
    void take_value(Answer& answer, std::uint64_t value) {
        if (answer.sequence.n_computed < answer.sequence.n_tokens()) return;  // decoded again
        answer.sequence.tokens.push_back(drawn(value));
        if (static_cast<int>(answer.tokens().size()) == answer.n_wanted) finish(answer);
    }
    void step() {
        const int n_running = scheduler.n_running();
        const StepPlan& plan = scheduler.plan_step();
        n_preempted += std::max(0, n_running - scheduler.n_running());
        for (Sequence* sequence : plan.admitted)
            of(sequence).admitted_at = n_steps;
        for (Sequence* sequence : plan.full) {
            full.push_back(sequence->answer_idx);
            finish(of(sequence));
        }
        for (Sequence* sequence : plan.decoding) {
            const int at = sequence->n_computed;
            const std::uint64_t value = model.compute(*sequence, at, at + 1, StepKind::decode);
            scheduler.advance(*sequence, at + 1);
            take_value(of(sequence), value);
        }
        if (Sequence* sequence = plan.prefilling) {
            longest_step = std::max(longest_step, plan.prefill_end - sequence->n_computed);
            const std::uint64_t value =
                model.compute(*sequence, sequence->n_computed, plan.prefill_end, plan.prefill_kind);
            scheduler.advance(*sequence, plan.prefill_end);
            if (sequence->n_computed == sequence->n_prompt) take_value(of(sequence), value);
        }
        n_steps++;
    }
    void run() {
        while (!scheduler.is_idle()) {
            step();
            REQUIRE(n_steps < 100000);
        }
    }
};

}  // namespace

TEST_CASE("sequences run first come, first served, at most n_parallel at once") {
    Simulation simulation(20, {2, 16, 320});
    Answer& first = simulation.submit(prompt_of(10, 1), 20);
    Answer& second = simulation.submit(prompt_of(10, 2), 30);
    Answer& third = simulation.submit(prompt_of(10, 3), 5);
    Answer& fourth = simulation.submit(prompt_of(10, 4), 5);
    simulation.step();
    CHECK(simulation.scheduler.n_running() == 2);
    CHECK(simulation.scheduler.n_waiting() == 2);
    simulation.run();
    CHECK(first.admitted_at == 0);
    CHECK(second.admitted_at == 0);
    CHECK(third.admitted_at == first.finished_at + 1);
    CHECK(fourth.admitted_at == third.finished_at + 1);
    for (const auto& answer : simulation.answers)
        check_as_alone(*answer);
}

TEST_CASE("a short prompt is not stuck behind a long one, which still progresses") {
    Simulation simulation(100, {4, 16, 3200});
    Answer& lasting = simulation.submit(prompt_of(5, 1), 400);
    simulation.step();
    Answer& longer = simulation.submit(prompt_of(2000, 2), 1);
    simulation.step();
    Answer& shorter = simulation.submit(prompt_of(40, 3), 1);
    const int before = lasting.sequence.n_tokens();
    const int begin = simulation.n_steps;
    while (shorter.finished_at < 0)
        simulation.step();
    CHECK(shorter.finished_at - begin <= 6);  // three steps of its own, every other one
    CHECK(longer.sequence.n_computed >= 3 * 16);
    CHECK(lasting.sequence.n_tokens() - before == simulation.n_steps - begin);
    CHECK(simulation.longest_step == 16);
    simulation.run();
    check_as_alone(longer);
    check_as_alone(shorter);
}

TEST_CASE("a prompt goes on behind its cached pages in steps of max_rows") {
    Simulation simulation(10, {1, 48, 640});
    simulation.submit(prompt_of(170), 1);
    simulation.run();
    Answer& warm = simulation.submit(prompt_of(250), 1);
    const int ends[] = {128 + 48, 128 + 96, 250};
    for (const int end : ends) {
        CHECK(warm.finished_at < 0);
        simulation.step();
        CHECK(warm.sequence.n_cached == 128);
        if (warm.finished_at < 0) CHECK(warm.sequence.n_computed == end);
    }
    CHECK(warm.finished_at >= 0);
    check_as_alone(warm);
}

TEST_CASE("the last token of a cached prompt is computed") {
    for (const int n : {128, 192}) {  // of either arithmetic
        CAPTURE(n);
        Simulation simulation(10, {1, 64, 640});
        simulation.submit(prompt_of(n), 1);
        simulation.run();
        Answer& again = simulation.submit(prompt_of(n), 1);
        simulation.run();
        CHECK(again.sequence.n_cached == n - 64);
        check_as_alone(again);
        Answer& longer = simulation.submit(prompt_of(n + 1), 1);
        simulation.run();
        CHECK(longer.sequence.n_cached == n);
        check_as_alone(longer);
    }
}

TEST_CASE("an equal prompt that runs beside takes over what is computed already") {
    Simulation simulation(40, {2, 64, 640});
    Answer& first = simulation.submit(prompt_of(600), 3);
    simulation.step();
    simulation.step();
    Answer& second = simulation.submit(prompt_of(600), 3);
    simulation.run();
    CHECK(first.sequence.n_cached + second.sequence.n_cached >= 512);
    CHECK(simulation.n_steps <= 16);
    check_as_alone(first);
    check_as_alone(second);
}

TEST_CASE("rows whose logits are wanted are computed although they are cached") {
    for (const int first_wanted : {0, 63, 64, 200}) {
        Simulation simulation(20, {1, 64, 640});
        simulation.submit(prompt_of(300), 1);
        simulation.run();
        Answer& scored = simulation.submit(prompt_of(300), 1);
        scored.sequence.first_wanted_row = first_wanted;
        simulation.run();
        CHECK_MESSAGE(scored.sequence.n_cached == first_wanted / 64 * 64, first_wanted);
        check_as_alone(scored);
    }
}

TEST_CASE("an aborted prefill's complete pages stay cached") {
    Simulation simulation(40, {1, 64, 640});
    Answer& aborted = simulation.submit(prompt_of(600), 3);
    for (int i = 0; i < 4; i++)
        simulation.step();
    simulation.finish(aborted);
    CHECK(simulation.scheduler.cache().n_cached() == 4);
    CHECK(simulation.scheduler.cache().n_used() == 0);
    Answer& again = simulation.submit(prompt_of(600), 3);
    simulation.run();
    CHECK(again.sequence.n_cached == 256);
    check_as_alone(again);
}

TEST_CASE("decoded pages are found by prompts too short for prefill") {
    Simulation simulation(20, {1, 128, 640});
    const Answer& first = simulation.submit(prompt_of(40), 125);
    simulation.run();
    const auto tokens = first.sequence.tokens.begin();
    const Answer& shorter = simulation.submit({tokens, tokens + kShortestPrefill - 1}, 3);
    simulation.run();
    CHECK(shorter.sequence.n_cached == 128);
    check_as_alone(shorter);
    const Answer& longer = simulation.submit({tokens, tokens + kShortestPrefill}, 3);
    simulation.run();
    CHECK(longer.sequence.n_cached == 0);
    check_as_alone(longer);
}

TEST_CASE("a second turn finds the first one's prompt and computes its answer by prefill") {
    Simulation simulation(20, {1, 128, 640});
    const Answer& first = simulation.submit(prompt_of(200), 160);
    simulation.run();
    const auto tokens = first.sequence.tokens.begin();
    const Answer& second = simulation.submit({tokens, tokens + 350}, 3);
    simulation.run();
    CHECK(second.sequence.n_cached == 192);
    check_as_alone(second);
}

TEST_CASE("a prompt that differs in a page's last token finds the pages before") {
    Simulation simulation(40, {1, 128, 640});
    std::vector<std::int32_t> prompt = prompt_of(300);
    simulation.submit(prompt, 1);
    simulation.run();
    prompt[255]++;
    const Answer& other = simulation.submit(prompt, 3);
    simulation.run();
    CHECK(other.sequence.n_cached == 192);
    check_as_alone(other);
}

TEST_CASE("a conversation keeps its prefix while other requests come once") {
    Simulation simulation(20, {1, 128, 640});
    simulation.submit(prompt_of(500), 3);
    simulation.run();
    simulation.submit(prompt_of(550), 3);  // the second turn
    simulation.run();
    for (int i = 1; i <= 20; i++) {
        simulation.submit(prompt_of(200, i), 3);
        simulation.run();
    }
    const Answer& third = simulation.submit(prompt_of(600), 3);
    simulation.run();
    CHECK(third.sequence.n_cached == 448);  // all that the second turn found
    check_as_alone(third);
}

TEST_CASE("the youngest sequence gives way when pages run out and continues the same answer") {
    Simulation simulation(6, {3, 64, 384});
    Answer& oldest = simulation.submit(prompt_of(60, 1), 200);
    Answer& middle = simulation.submit(prompt_of(60, 2), 200);
    Answer& youngest = simulation.submit(prompt_of(60, 3), 150);
    simulation.run();
    CHECK(simulation.n_preempted > 0);
    CHECK(oldest.finished_at < middle.finished_at);
    CHECK(middle.finished_at < youngest.finished_at);
    CHECK(oldest.tokens().size() == 200);
    CHECK(middle.tokens().size() == 200);
    CHECK(youngest.tokens().size() == 150);
    check_as_alone(oldest);
    check_as_alone(middle);
    check_as_alone(youngest);
    CHECK(simulation.full.empty());
    CHECK(simulation.scheduler.cache().n_used() == 0);
}

TEST_CASE("a sequence that is alone and has no page left is full") {
    Simulation simulation(2, {2, 64, 128});
    Answer& answer = simulation.submit(prompt_of(100), 1000);
    Answer& behind = simulation.submit(prompt_of(10, 2), 3);
    simulation.run();
    CHECK(simulation.full == std::vector<int>{0});
    CHECK(answer.sequence.n_tokens() == 129);  // one is drawn after the last that fits
    check_as_alone(answer);
    check_as_alone(behind);
}

TEST_CASE("in a random run every answer is as alone, none starves and no page is lost") {
    for (std::uint64_t seed = 1; seed <= 30; seed++) {
        CAPTURE(seed);
        Random random(seed);
        const int n_pages = 4 + static_cast<int>(random.below(12));
        const int max_rows = 8 + static_cast<int>(random.below(150));
        const int n_parallel = 1 + static_cast<int>(random.below(6));
        Simulation simulation(n_pages, {n_parallel, max_rows, n_pages * kPage});
        const int n_answers = 40;
        std::vector<bool> is_cancelled(n_answers);
        for (int i = 0; i < n_answers || !simulation.scheduler.is_idle();) {
            if (i < n_answers && random.below(8) == 0) {
                const int n_prompt = 1 + static_cast<int>(random.below(n_pages * kPage - 1));
                const int room = n_pages * kPage - n_prompt;
                // Few first tokens, so that prefixes are shared.
                simulation.submit(prompt_of(n_prompt, static_cast<int>(random.below(3))),
                                  1 + static_cast<int>(random.below(std::min(room, 150))));
                i++;
            }
            if (i > 0 && random.below(30) == 0) {
                const std::size_t idx = random.below(static_cast<std::uint64_t>(i));
                Answer& answer = *simulation.answers[idx];
                if (answer.finished_at < 0) {
                    simulation.finish(answer);
                    is_cancelled[idx] = true;
                }
            }
            simulation.step();
            REQUIRE(simulation.n_steps < 20000);
        }
        CHECK(simulation.full.empty());
        CHECK(simulation.scheduler.cache().n_used() == 0);
        for (std::size_t i = 0; i < simulation.answers.size(); i++) {
            const Answer& answer = *simulation.answers[i];
            check_as_alone(answer);
            if (!is_cancelled[i])
                CHECK(static_cast<int>(answer.tokens().size()) == answer.n_wanted);
        }
    }
}
