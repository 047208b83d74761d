#include <doctest/doctest.h>

#include <algorithm>
#include <limits>

#include "tests/cpu_kernels/cases.h"

namespace baltoro::kernels {
namespace {

constexpr double kRoundoff = 0x1p-24;
constexpr float kInfinity = std::numeric_limits<float>::infinity();

std::vector<float> random_floats(size_t n, uint64_t seed) {
    Random random(seed);
    std::vector<float> values(n);
    for (float& value : values)
        value = static_cast<float>(random.normal());
    return values;
}

TEST_CASE("rms_norm divides by the root of the mean square") {
    for (const CheckedLevel& level : checked_levels())
        for (const int n : {1, 15, 16, 17, 128, 300}) {
            CAPTURE(level.name);
            CAPTURE(n);
            constexpr int kRows = 3;
            const std::vector<float> src = random_floats(static_cast<size_t>(kRows) * (n + 5), 1);
            std::vector<bf16_t> gain;
            for (const float value : random_floats(static_cast<size_t>(n), 2))
                gain.push_back(bf16_from_float(value));
            std::vector<float> y(static_cast<size_t>(kRows) * n + 1, kCanary);
            std::vector<bf16_t> rounded(static_cast<size_t>(kRows) * n + 1, kCanaryBf16);
            level.table.rms_norm(
                {src.data(), n + 5, gain.data(), 1e-6f, kRows, n, y.data(), rounded.data()});
            for (int r = 0; r < kRows; ++r) {
                double sum = 0;
                for (int j = 0; j < n; ++j)
                    sum +=
                        std::pow(static_cast<double>(src[static_cast<size_t>(r) * (n + 5) + j]), 2);
                for (int j = 0; j < n; ++j) {
                    const size_t at = static_cast<size_t>(r) * n + j;
                    const double want =
                        static_cast<double>(float_from_bf16(gain[j])) *
                        static_cast<double>(src[static_cast<size_t>(r) * (n + 5) + j]) /
                        std::sqrt(sum / n + 1e-6);
                    CHECK(std::abs(static_cast<double>(y[at]) - want) <=
                          (n + 8) * kRoundoff * std::abs(want));
                    CHECK(rounded[at] == bf16_from_float(y[at]));
                }
            }
            CHECK(y.back() == kCanary);
            CHECK(rounded.back() == kCanaryBf16);
            std::vector<float> alone(y.size(), kCanary);
            level.table.rms_norm(
                {src.data(), n + 5, gain.data(), 1e-6f, kRows, n, alone.data(), nullptr});
            CHECK(alone == y);
        }
}

TEST_CASE("softmax_block over several blocks equals the softmax of the whole row") {
    for (const CheckedLevel& level : checked_levels())
        for (const int n : {1, 16, 37, 100})
            for (const int valid_last : {0, 1, 20}) {
                CAPTURE(level.name);
                CAPTURE(n);
                CAPTURE(valid_last);
                constexpr float kScale = 3.5f;
                const std::vector<float> scores = random_floats(static_cast<size_t>(2 * n), 3);
                std::vector<float> s = scores;
                s.push_back(kCanary);
                float m = -kInfinity;
                float l = 0;
                float correction[2] = {};
                const int32_t valid[2] = {n, std::min(valid_last, n)};
                for (int b = 0; b < 2; ++b)
                    level.table.softmax_block(
                        {s.data() + b * n, n, 1, n, &valid[b], kScale, &m, &l, &correction[b]});
                double largest = -1e30;
                for (int j = 0; j < n + valid[1]; ++j)
                    largest = std::max(largest, static_cast<double>(kScale * scores[j]));
                double sum = 0;
                for (int j = 0; j < n + valid[1]; ++j)
                    sum += std::exp(static_cast<double>(kScale * scores[j]) - largest);
                CHECK(static_cast<double>(m) == doctest::Approx(largest).epsilon(1e-6));
                CHECK(static_cast<double>(l) == doctest::Approx(sum).epsilon(1e-5));
                CHECK(correction[0] == 0.0f);
                for (int j = 0; j < n; ++j) {
                    const double want = std::exp(static_cast<double>(kScale * scores[j]) - largest);
                    CHECK(static_cast<double>(s[j] * correction[1]) ==
                          doctest::Approx(want).epsilon(1e-5));
                    if (j >= valid[1]) CHECK(s[n + j] == 0.0f);
                }
                CHECK(s.back() == kCanary);
                if (valid[1] == 0) CHECK(correction[1] == 1.0f);
            }
}

TEST_CASE("softmax_block gives no weight to scores of minus infinity") {
    for (const CheckedLevel& level : checked_levels()) {
        CAPTURE(level.name);
        std::vector<float> s(20, -kInfinity);
        float m = -kInfinity;
        float l = 0;
        float correction = -1;
        const int32_t valid = 20;
        const SoftmaxBlock block = {s.data(), 20, 1, 20, &valid, 1.0f, &m, &l, &correction};
        level.table.softmax_block(block);
        CHECK(l == 0.0f);
        CHECK(std::all_of(s.begin(), s.end(), [](float p) { return p == 0.0f; }));
        s.assign(20, -kInfinity);
        s[3] = -200.0f;
        level.table.softmax_block(block);
        CHECK(m == -200.0f);
        CHECK(l == 1.0f);
        CHECK(s[3] == 1.0f);
        CHECK(s[4] == 0.0f);
        s.assign(20, -kInfinity);
        level.table.softmax_block(block);
        CHECK(m == -200.0f);
        CHECK(l == 1.0f);
        CHECK(correction == 1.0f);
    }
}

TEST_CASE("conversions agree with base/float_formats bit for bit") {
    for (const CheckedLevel& level : checked_levels()) {
        CAPTURE(level.name);
        std::vector<bf16_t> all(65536);
        for (size_t i = 0; i < all.size(); ++i)
            all[i] = static_cast<bf16_t>(i);
        std::vector<float> wide(all.size());
        level.table.f32_from_bf16(all.data(), wide.data(), all.size());
        std::vector<float> src;
        size_t n_wrong = 0;
        for (size_t i = 0; i < all.size(); ++i) {
            n_wrong += bits_from_float(wide[i]) != static_cast<uint32_t>(i) << 16;
            for (const uint32_t low : {0u, 0x7fffu, 0x8000u, 0x8001u, 0xffffu})
                src.push_back(float_from_bits((static_cast<uint32_t>(i) << 16) | low));
        }
        CHECK(n_wrong == 0);
        std::vector<bf16_t> narrow(src.size() + 1, kCanaryBf16);
        level.table.bf16_from_f32(src.data(), narrow.data(), src.size());
        for (size_t i = 0; i < src.size(); ++i)
            n_wrong += narrow[i] != bf16_from_float(src[i]);
        CHECK(n_wrong == 0);
        CHECK(narrow.back() == kCanaryBf16);
    }
}

TEST_CASE("add and scale touch exactly n elements") {
    for (const CheckedLevel& level : checked_levels())
        for (const size_t n : {size_t{0}, size_t{1}, size_t{16}, size_t{47}}) {
            CAPTURE(level.name);
            CAPTURE(n);
            const std::vector<float> a = random_floats(n + 1, 4);
            std::vector<float> b = random_floats(n + 1, 5);
            const std::vector<float> before = b;
            level.table.add(a.data(), b.data(), n);
            for (size_t i = 0; i < n; ++i)
                CHECK(b[i] == before[i] + a[i]);
            const std::vector<float> sum = b;
            level.table.scale(1.7f, b.data(), n);
            for (size_t i = 0; i < n; ++i)
                CHECK(b[i] == sum[i] * 1.7f);
            CHECK(b[n] == before[n]);
        }
}

}  // namespace
}  // namespace baltoro::kernels
