#include "tests/clients/scripted_device.h"

#include <algorithm>

#include <doctest/doctest.h>

#include "tests/text/tokenizer_fixture.h"
#include "text/special_tokens.h"

using namespace baltoro;
using namespace baltoro::testing;

namespace {

constexpr int kHidden = 8;
constexpr int kLatent = 6;
constexpr int kVocab = 512;
constexpr int kPages = 4;

const device::MlaShapes kShapes{1, 4, 4, 2, 4};

// A device with the buffers of one layer, and the calls that a step makes.
struct Step {
    explicit Step(const std::string& script)
        : tokenizer(Tokenizer::from_ranks(byte_ranks(), kimi_special_tokens(256), "test")),
          device(tokenizer, Script::parse(script, "test"), kVocab),
          pages(device.allocate(sizeof(bf16_t) * kPages * device::kPageTokens * kLatent,
                                device::MemoryKind::device)) {}

    // The tokens that are likeliest after the last row of each sequence.
    std::vector<std::int32_t> run(const std::vector<std::int32_t>& ids,
                                  const std::vector<device::SequenceRows>& sequences) {
        std::vector<float> x(ids.size() * kHidden);
        const device::Matrix table{DType::bf16, nullptr, nullptr, kVocab, kHidden, 0};
        device.embed({table, ids, x.data()});
        device.write_latent(
            {kShapes, sequences, nullptr, nullptr, 1e-6, nullptr, pages.as<bf16_t>()});
        std::vector<bf16_t> rows(sequences.size() * kHidden);
        for (std::size_t i = 0; i < sequences.size(); i++) {
            const int last = sequences[i].first_row + sequences[i].n_rows - 1;
            device.rms_norm({x.data() + last * kHidden, kHidden, nullptr, 1e-6, 1, kHidden, nullptr,
                             rows.data() + i * kHidden});
        }
        std::vector<float> logits(sequences.size() * kVocab);
        device.product(
            {table, rows.data(), static_cast<int>(sequences.size()), logits.data(), false});
        std::vector<std::int32_t> likeliest;
        for (auto row = logits.begin(); row != logits.end(); row += kVocab)
            likeliest.push_back(
                static_cast<std::int32_t>(std::max_element(row, row + kVocab) - row));
        return likeliest;
    }

    std::vector<std::int32_t> prompt(const std::string& user) const {
        return tokenizer.encode_with_special("<|im_user|>user<|im_middle|>" + user +
                                             "<|im_end|><|im_assistant|>assistant<|im_middle|>");
    }

    Tokenizer tokenizer;
    ScriptedDevice device;
    device::Buffer pages;
};

}  // namespace

TEST_CASE("a sequence is read back through its page table, over steps and pages") {
    Step step(R"([{"when": "hi", "answer": "Yes"}])");
    std::vector<std::int32_t> prompt = step.prompt("hi " + std::string(100, '.'));
    const std::vector<std::int32_t> table{3, 1, 0};
    const int n = static_cast<int>(prompt.size());
    REQUIRE(n > device::kPageTokens);
    const std::vector<std::int32_t> first(prompt.begin(), prompt.begin() + 50);
    step.run(first, {{0, 50, 0, table}});
    const std::vector<std::int32_t> second(prompt.begin() + 50, prompt.end());
    CHECK(step.run(second, {{0, n - 50, 50, table}}).front() == 'Y');
    CHECK(step.run({'Y'}, {{0, 1, n, table}}).front() == 'e');
    CHECK(step.run({'e'}, {{0, 1, n + 1, table}}).front() == 's');
    CHECK(step.run({'s'}, {{0, 1, n + 2, table}}).front() ==
          step.tokenizer.special_id("<|im_end|>"));
}

TEST_CASE("sequences of one step are told apart") {
    Step step(R"([{"when": "left", "answer": "L"}, {"when": "right", "answer": "R"}])");
    std::vector<std::int32_t> rows = step.prompt("left");
    const int n_left = static_cast<int>(rows.size());
    const std::vector<std::int32_t> right = step.prompt("right");
    rows.insert(rows.end(), right.begin(), right.end());
    const std::vector<std::int32_t> left_table{2}, right_table{0};
    CHECK(step.run(rows, {{0, n_left, 0, left_table},
                          {n_left, static_cast<int>(right.size()), 0, right_table}}) ==
          std::vector<std::int32_t>{'L', 'R'});
}

TEST_CASE("markers of an answer become special tokens") {
    Step step(R"([{"when": "", "answer": "<|tool_call_begin|>f"}])");
    const std::vector<std::int32_t> prompt = step.prompt("x");
    const std::vector<std::int32_t> table{0};
    CHECK(step.run(prompt, {{0, static_cast<int>(prompt.size()), 0, table}}).front() ==
          step.tokenizer.special_id("<|tool_call_begin|>"));
}

TEST_CASE("routing chooses different valid experts") {
    Step step("[]");
    std::vector<std::int32_t> ids(6);
    std::vector<float> gains(6);
    device::Route route{};
    route.w.n = 3;
    route.top_k = 2;
    route.n_rows = 3;
    route.ids = ids.data();
    route.gains = gains.data();
    step.device.route(route);
    CHECK(ids == std::vector<std::int32_t>{0, 1, 1, 2, 2, 0});
    CHECK(std::all_of(gains.begin(), gains.end(), [](float gain) { return gain == 0.5f; }));
}
