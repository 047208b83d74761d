#include <cmath>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "base/random.h"
#include "device/cpu_device.h"

using namespace baltoro;
using namespace baltoro::device;

namespace {

// A batch with random queries, latents and kv_b; pages are handed out in reverse order.
struct Problem {
    Problem(const MlaShapes& mla, std::vector<SequenceRows> batch, bool is_fp8)
        : shapes(mla), sequences(std::move(batch)) {
        Random random(11);
        const auto normal = [&] { return static_cast<float>(random.normal()); };
        int n_pages = 0;
        for (SequenceRows& sequence : sequences) {
            n_rows = std::max(n_rows, sequence.first_row + sequence.n_rows);
            const int n =
                (sequence.first_position + sequence.n_rows + kPageTokens - 1) / kPageTokens;
            std::vector<std::int32_t> table;
            for (int p = 0; p < n; p++)
                table.push_back(n_pages + n - 1 - p);
            n_pages += n;
            page_tables.push_back(std::move(table));
        }
        for (std::size_t s = 0; s < sequences.size(); s++)
            sequences[s].page_table = page_tables[s];
        const int n_weight_rows = shapes.n_heads * (shapes.qk_nope_head_dim + shapes.v_head_dim);
        const auto n_weights = static_cast<std::size_t>(n_weight_rows * shapes.kv_lora_rank);
        q.resize(static_cast<std::size_t>(n_rows * shapes.n_heads * shapes.qk_head_dim()));
        pages.resize(static_cast<std::size_t>(n_pages * kPageTokens * shapes.latent_dim()));
        rope.resize(static_cast<std::size_t>(n_rows * shapes.qk_rope_head_dim));
        for (float& value : q)
            value = normal();
        for (bf16_t& value : pages)
            value = bf16_from_float(normal());
        for (std::size_t i = 0; i < rope.size(); i += 2) {
            const double angle = random.uniform() * 6.0;
            rope[i] = static_cast<float>(std::cos(angle));
            rope[i + 1] = static_cast<float>(std::sin(angle));
        }
        fp8.resize(n_weights);
        bf16.resize(n_weights);
        weights.resize(n_weights);
        scales.resize(static_cast<std::size_t>((n_weight_rows + 127) / 128 *
                                               ((shapes.kv_lora_rank + 127) / 128)));
        for (float& scale : scales)
            scale = 0.5f + static_cast<float>(random.uniform());
        for (std::size_t i = 0; i < n_weights; i++) {
            const float value = 0.2f * normal();
            const int row = static_cast<int>(i) / shapes.kv_lora_rank;
            const int column = static_cast<int>(i) % shapes.kv_lora_rank;
            const int scale_idx = row / 128 * ((shapes.kv_lora_rank + 127) / 128) + column / 128;
            fp8[i] = e4m3_from_float(value);
            bf16[i] = bf16_from_float(value);
            weights[i] = is_fp8 ? static_cast<double>(float_from_e4m3(fp8[i]) *
                                                      scales[static_cast<std::size_t>(scale_idx)])
                                : static_cast<double>(float_from_bf16(bf16[i]));
        }
        kv_b = is_fp8 ? Matrix{DType::f8_e4m3, fp8.data(),          scales.data(),
                               n_weight_rows,  shapes.kv_lora_rank, n_weights}
                      : Matrix{DType::bf16,   bf16.data(),         nullptr,
                               n_weight_rows, shapes.kv_lora_rank, 2 * n_weights};
    }

    std::vector<bf16_t> attend(kernels::IsaLevel isa, int n_threads) {
        numa::Team team(std::vector<numa::WorkerPlace>(static_cast<std::size_t>(n_threads)));
        CpuDevice device(team, isa);
        std::vector<bf16_t> dst(
            static_cast<std::size_t>(n_rows * shapes.n_heads * shapes.v_head_dim));
        device.attend(
            {shapes, sequences, q.data(), kv_b, rope.data(), kScale, pages.data(), dst.data()});
        return dst;
    }

    // The only sequence's rows behind the first n_before, in a step of their own.
    std::vector<bf16_t> attend_from(int n_before, kernels::IsaLevel isa) {
        numa::Team team(std::vector<numa::WorkerPlace>(2));
        CpuDevice device(team, isa);
        SequenceRows rest = sequences.front();
        rest.n_rows -= n_before;
        rest.first_position += n_before;
        std::vector<bf16_t> dst(
            static_cast<std::size_t>(rest.n_rows * shapes.n_heads * shapes.v_head_dim));
        device.attend({shapes,
                       {&rest, 1},
                       q.data() + n_before * shapes.n_heads * shapes.qk_head_dim(),
                       kv_b,
                       rope.data() + n_before * shapes.qk_rope_head_dim,
                       kScale,
                       pages.data(),
                       dst.data()});
        return dst;
    }

    double latent(const SequenceRows& sequence, int position, int j) const {
        const int page = sequence.page_table[static_cast<std::size_t>(position / kPageTokens)];
        const int slot = page * kPageTokens + position % kPageTokens;
        return static_cast<double>(
            float_from_bf16(pages[static_cast<std::size_t>(slot * shapes.latent_dim() + j)]));
    }

    double weight(int row, int column) const {
        return weights[static_cast<std::size_t>(row * shapes.kv_lora_rank + column)];
    }

    // Keys and values made from the latents, softmax over all of them: the formula, not absorbed.
    std::vector<double> expected_row(const SequenceRows& sequence, int row, int head) const {
        const int nope = shapes.qk_nope_head_dim;
        const int first = head * (nope + shapes.v_head_dim);
        const float* query = q.data() + (row * shapes.n_heads + head) * shapes.qk_head_dim();
        const float* angles = rope.data() + row * shapes.qk_rope_head_dim;
        const int n_tokens = sequence.first_position + row - sequence.first_row + 1;
        std::vector<double> scores;
        for (int t = 0; t < n_tokens; t++) {
            double score = 0.0;
            for (int i = 0; i < nope; i++) {
                double key = 0.0;
                for (int j = 0; j < shapes.kv_lora_rank; j++)
                    key += weight(first + i, j) * latent(sequence, t, j);
                score += static_cast<double>(query[i]) * key;
            }
            for (int i = 0; i < shapes.qk_rope_head_dim; i += 2) {
                const double x0 = static_cast<double>(query[nope + i]);
                const double x1 = static_cast<double>(query[nope + i + 1]);
                const double c = static_cast<double>(angles[i]);
                const double s = static_cast<double>(angles[i + 1]);
                score += (x0 * c - x1 * s) * latent(sequence, t, shapes.kv_lora_rank + i);
                score += (x1 * c + x0 * s) * latent(sequence, t, shapes.kv_lora_rank + i + 1);
            }
            scores.push_back(score * static_cast<double>(kScale));
        }
        const double max = *std::max_element(scores.begin(), scores.end());
        double sum = 0.0;
        for (double& score : scores)
            sum += score = std::exp(score - max);
        std::vector<double> out(static_cast<std::size_t>(shapes.v_head_dim));
        for (int j = 0; j < shapes.kv_lora_rank; j++) {
            double context = 0.0;
            for (int t = 0; t < n_tokens; t++)
                context += scores[static_cast<std::size_t>(t)] / sum * latent(sequence, t, j);
            for (int i = 0; i < shapes.v_head_dim; i++)
                out[static_cast<std::size_t>(i)] += weight(first + nope + i, j) * context;
        }
        return out;
    }

    static constexpr float kScale = 0.1f;
    MlaShapes shapes;
    std::vector<SequenceRows> sequences;
    std::vector<std::vector<std::int32_t>> page_tables;
    int n_rows = 0;
    std::vector<float> q;
    std::vector<bf16_t> pages;
    std::vector<float> rope;
    std::vector<e4m3_t> fp8;
    std::vector<bf16_t> bf16;
    std::vector<float> scales;
    std::vector<double> weights;
    Matrix kv_b;
};

// The absorbed query, the context and the result are each rounded to bf16 once: a relative error of
// 2^-9 each, the query's through a softmax whose scores are of order 1.
constexpr double kBound = 4.0 * 0.001953125;

void check_against_formula(Problem& problem, kernels::IsaLevel isa) {
    CAPTURE(kernels::isa_name(isa));
    const std::vector<bf16_t> actual = problem.attend(isa, 2);
    for (const SequenceRows& sequence : problem.sequences) {
        for (int row = sequence.first_row; row < sequence.first_row + sequence.n_rows; row++) {
            double error = 0.0;
            double norm = 0.0;
            for (int head = 0; head < problem.shapes.n_heads; head++) {
                const std::vector<double> expected = problem.expected_row(sequence, row, head);
                for (int i = 0; i < problem.shapes.v_head_dim; i++) {
                    const auto at = static_cast<std::size_t>(
                        (row * problem.shapes.n_heads + head) * problem.shapes.v_head_dim + i);
                    const double value = expected[static_cast<std::size_t>(i)];
                    error += std::pow(static_cast<double>(float_from_bf16(actual[at])) - value, 2);
                    norm += value * value;
                }
            }
            CAPTURE(row);
            CHECK(std::sqrt(error) <= kBound * std::sqrt(norm));
        }
    }
}

constexpr MlaShapes kRagged{3, 40, 24, 8, 20};
constexpr MlaShapes kEven{4, 128, 32, 16, 32};

}  // namespace

TEST_CASE("attention of several sequences is the formula's on every level") {
    for (const kernels::IsaLevel isa : kernels::available_isas()) {
        for (const bool is_fp8 : {false, true}) {
            Problem ragged(kRagged, {{0, 5, 0, {}}, {5, 1, 130, {}}, {6, 20, 60, {}}}, is_fp8);
            check_against_formula(ragged, isa);
            Problem even(kEven, {{0, 3, 62, {}}, {3, 17, 0, {}}}, is_fp8);
            check_against_formula(even, isa);
            Problem wide(kEven, {{0, 2, 5, {}}, {2, 45, 90, {}}, {47, 32, 0, {}}}, is_fp8);
            check_against_formula(wide, isa);
        }
    }
}

TEST_CASE("a row's bits do not depend on where its step begins, on every level") {
    const MlaShapes wide{4, 512, 32, 64, 32};  // the latents of K2
    Problem problem(wide, {{0, 45, 90, {}}}, true);
    for (const kernels::IsaLevel isa : kernels::available_isas()) {
        CAPTURE(isa);
        const std::vector<bf16_t> whole = problem.attend(isa, 2);
        for (const int n_before : {1, 15, 32, 44}) {
            CAPTURE(n_before);
            CHECK(problem.attend_from(n_before, isa) ==
                  std::vector<bf16_t>(whole.begin() + n_before * wide.n_heads * wide.v_head_dim,
                                      whole.end()));
        }
    }
}

TEST_CASE("a long context is cut into parts and merged") {
    Problem problem(kRagged, {{0, 2, 2500, {}}}, false);
    check_against_formula(problem, kernels::best_isa());
}

TEST_CASE("attention gives the same bits for any number of threads") {
    Problem problem(kRagged, {{0, 1, 2300, {}}, {1, 9, 1020, {}}}, true);
    const std::vector<bf16_t> one = problem.attend(kernels::best_isa(), 1);
    for (const int n_threads : {2, 3, 16}) {
        CAPTURE(n_threads);
        CHECK(problem.attend(kernels::best_isa(), n_threads) == one);
    }
}

TEST_CASE("new latents are normalised, rotated and written to their page") {
    numa::Team team(std::vector<numa::WorkerPlace>(2));
    CpuDevice device(team, kernels::best_isa());
    const MlaShapes shapes{1, 4, 2, 2, 2};
    const std::vector<std::int32_t> table = {2, 0};
    const SequenceRows sequence{0, 2, 63, table};
    const float kv[] = {2.0f, -2.0f, 2.0f, 2.0f, 1.0f, 0.0f, 0.0f, 0.0f, 0.0f, 4.0f, 3.0f, 5.0f};
    const bf16_t gain[] = {0x3f80, 0x3f80, 0x4000, 0x3f80};  // 1, 1, 2, 1
    const float rope[] = {0.0f, 1.0f, 1.0f, 0.0f};           // a quarter turn; none
    std::vector<bf16_t> pages(3 * kPageTokens * 6, 0x1234);
    device.write_latent({shapes, {&sequence, 1}, kv, gain, 0.0, rope, pages.data()});
    const auto at = [&](int page, int slot, int j) {
        return float_from_bf16(
            pages[static_cast<std::size_t>((page * kPageTokens + slot) * 6 + j)]);
    };
    const float first[] = {1.0f, -1.0f, 2.0f, 1.0f, 0.0f, 1.0f};
    const float second[] = {0.0f, 0.0f, 0.0f, 2.0f, 3.0f, 5.0f};
    for (int j = 0; j < 6; j++) {
        CAPTURE(j);
        CHECK(at(2, 63, j) == doctest::Approx(first[j]));
        CHECK(at(0, 0, j) == doctest::Approx(second[j]));
    }
    CHECK(pages[0 * kPageTokens * 6 + 6] == 0x1234);
    CHECK(pages[static_cast<std::size_t>((2 * kPageTokens + 62) * 6 + 5)] == 0x1234);
}
