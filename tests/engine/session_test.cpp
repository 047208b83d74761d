#include "engine/session.h"

#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "base/error.h"
#include "engine/generation.h"
#include "tests/experts/allocation_count.h"
#include "tests/model/loaded_model.h"

using namespace baltoro;
using namespace baltoro::testing;

namespace {

const std::string kModel = std::string(BALTORO_GOLDEN_DIR) + "/oracle/k2-tiny";

std::vector<std::int32_t> counted(int n, int first = 3) {
    std::vector<std::int32_t> ids;
    for (int i = 0; i < n; i++)
        ids.push_back((first + 37 * i) % 600);
    return ids;
}

std::vector<float> copy(std::span<const float> values) {
    return {values.begin(), values.end()};
}

}  // namespace

TEST_CASE("a reused prefix gives the logits of a cold run") {
    LoadedModel loaded(kModel, kernels::best_isa(), 2, 64);
    Session session(loaded.model);
    std::vector<std::int32_t> prompt = counted(200);
    session.prefill(prompt);
    CHECK(session.prefilled() == 200);
    const std::vector<std::int32_t> other = counted(25, 100);
    prompt.resize(170);
    prompt.insert(prompt.end(), other.begin(), other.end());
    const std::vector<float> warm = copy(session.prefill(prompt));
    CHECK(session.prefilled() == 25);

    Session cold(loaded.model);
    CHECK(copy(cold.prefill(prompt)) == warm);
    CHECK(cold.prefilled() == 195);
}

TEST_CASE("whatever a session held before, a prompt gets the bits of a cold run") {
    LoadedModel loaded(kModel, kernels::best_isa(), 2, 96);
    const std::vector<std::int32_t> ids = counted(260);
    for (const int held : {1, 95, 150, 159, 160, 192, 200, 250}) {
        for (const int n_steps : {0, 5}) {
            Session session(loaded.model);
            session.prefill(std::span(ids).first(static_cast<std::size_t>(held)));
            for (int i = 0; i < n_steps; i++)
                session.step(ids[static_cast<std::size_t>(held + i)]);
            for (const int wanted : {90, 159, 160, 193, 199, 255}) {
                const std::vector<float> warm =
                    copy(session.prefill(std::span(ids).first(static_cast<std::size_t>(wanted))));
                Session cold(loaded.model);
                CAPTURE(held);
                CAPTURE(n_steps);
                CAPTURE(wanted);
                CHECK(copy(cold.prefill(std::span(ids).first(static_cast<std::size_t>(wanted)))) ==
                      warm);
            }
        }
    }
}

TEST_CASE("a longer prompt goes on where the same arithmetic ends") {
    LoadedModel loaded(kModel, kernels::best_isa(), 2, 96);
    const std::vector<std::int32_t> ids = counted(260);
    Session session(loaded.model);
    const auto prefilled = [&](std::size_t n) {
        session.prefill(std::span(ids).first(n));
        return session.prefilled();
    };
    CHECK(prefilled(100) == 100);
    session.step(ids[100]);
    CHECK(prefilled(150) == 49);  // what was decoded would be decoded again
    CHECK(prefilled(170) == 170);
    session.step(ids[170]);
    CHECK(prefilled(200) == 30);  // the decoded token is one of a prompt now
    CHECK(prefilled(150) == 150);
}

TEST_CASE("the same prompt again computes only its last token") {
    LoadedModel loaded(kModel, kernels::IsaLevel::scalar, 1, 16);
    Session session(loaded.model);
    const std::vector<float> first = copy(session.prefill(counted(20)));
    CHECK(copy(session.prefill(counted(20))) == first);
    CHECK(session.prefilled() == 1);
}

TEST_CASE("steps after a prefill give what one longer prefill gives") {
    LoadedModel loaded(kModel, kernels::IsaLevel::scalar, 2, 16);
    Session session(loaded.model);
    const std::vector<std::int32_t> ids = counted(70);
    session.prefill(std::span(ids).first(66));
    std::vector<float> stepped;
    for (int i = 66; i < 70; i++)
        stepped = copy(session.step(ids[static_cast<std::size_t>(i)]));
    Session whole(loaded.model);
    CHECK(copy(whole.prefill(ids)) == stepped);
}

TEST_CASE("bad prompts are errors that say what is wrong") {
    LoadedModel loaded(kModel, kernels::IsaLevel::scalar, 1, 16);
    Session session(loaded.model, 30);
    CHECK_THROWS_WITH_AS(session.prefill({}), doctest::Contains("no tokens"), Error);
    const std::vector<std::int32_t> high = {1, 600};
    CHECK_THROWS_WITH_AS(session.prefill(high),
                         doctest::Contains("token id 600 is outside the vocabulary of 600"), Error);
    const std::vector<std::int32_t> low = {-1};
    CHECK_THROWS_WITH_AS(session.prefill(low), doctest::Contains("token id -1"), Error);
    CHECK_THROWS_WITH_AS(session.prefill(counted(31)),
                         doctest::Contains("31 tokens, the context holds 30"), Error);
    session.prefill(counted(30));
    CHECK_THROWS_WITH_AS(session.step(1), doctest::Contains("context of 30 tokens is full"), Error);
}

TEST_CASE("a stopped prefill says so and can be taken up again") {
    LoadedModel loaded(kModel, kernels::IsaLevel::scalar, 1, 16);
    Session session(loaded.model);
    CHECK(session.prefill(counted(40), [](int done, int) { return done < 16; }).empty());
    CHECK(session.tokens().size() == 16);
    const std::vector<float> resumed = copy(session.prefill(counted(40)));
    CHECK(session.prefilled() == 24);
    Session cold(loaded.model);
    CHECK(copy(cold.prefill(counted(40))) == resumed);
}

TEST_CASE("a decode step allocates nothing") {
    LoadedModel loaded(kModel, kernels::best_isa(), 2, 16);
    Session session(loaded.model);
    Sampler sampler({}, loaded.config.vocab_size);
    session.prefill(counted(20));
    session.step(5);
    session.step(6);
    const int before = n_allocations();
    for (int i = 0; i < 30; i++)
        sampler.draw(session.step(i));
    CHECK(n_allocations() == before);
}

TEST_CASE("an answer ends at a stop token, at the limit, with the context or when cancelled") {
    LoadedModel loaded(kModel, kernels::best_isa(), 2, 16);
    Sampler sampler({0.0}, loaded.config.vocab_size);
    std::vector<std::int32_t> answer;
    const std::vector<std::int32_t> prompt = counted(20);
    GenerationRequest request;
    request.prompt = prompt;
    request.on_token = [&](std::int32_t id) { answer.push_back(id); };

    Session session(loaded.model, 30);
    request.max_tokens = 5;
    GenerationStats stats = generate(session, sampler, request);
    CHECK(stats.reason == FinishReason::length);
    REQUIRE(answer.size() == 5);
    CHECK(stats.decode_tokens == 4);
    CHECK(stats.prefill_tokens == 20);

    const std::vector<std::int32_t> first = answer;
    const int stop_ids[] = {first[3]};
    answer.clear();
    request.stop_ids = stop_ids;
    stats = generate(session, sampler, request);
    CHECK(stats.reason == FinishReason::stop);
    const auto stop_at = std::find(first.begin(), first.end(), first[3]);
    CHECK(answer == std::vector<std::int32_t>(first.begin(), stop_at));

    answer.clear();
    request.stop_ids = {};
    request.max_tokens = 0;
    stats = generate(session, sampler, request);
    CHECK(stats.reason == FinishReason::context_full);
    CHECK(answer.size() == 11);  // ten more fit, and one is drawn from the last logits

    answer.clear();
    request.is_cancelled = [&] { return answer.size() == 2; };
    stats = generate(session, sampler, request);
    CHECK(stats.reason == FinishReason::cancelled);
    CHECK(answer.size() == 2);
}
