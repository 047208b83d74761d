#include "weights/quantise.h"

#include <algorithm>
#include <cfloat>
#include <cmath>
#include <vector>

#include <doctest/doctest.h>

#include "base/random.h"

using namespace baltoro;

namespace {

struct Quantised {
    std::vector<e4m3_t> codes;
    std::vector<float> scales;
    std::vector<float> values;  // dequantised
};

// Canaries of 0xaa / -7 lie behind the output.
Quantised quantise(const std::vector<float>& src, std::int64_t n, std::int64_t k) {
    const std::int64_t n_scales = scale_blocks(n) * scale_blocks(k);
    Quantised q{std::vector<e4m3_t>(n * k + 8, 0xaa), std::vector<float>(n_scales + 2, -7.0f),
                std::vector<float>(n * k + 2, -7.0f)};
    quantise_block_fp8(src.data(), n, k, q.codes.data(), q.scales.data());
    dequantise_block_fp8(q.codes.data(), q.scales.data(), n, k, q.values.data());
    CHECK(q.codes[n * k] == 0xaa);
    CHECK(q.scales[n_scales] == -7.0f);
    CHECK(q.values[n * k] == -7.0f);
    return q;
}

float largest_of_block(const std::vector<float>& src,
                       std::int64_t n,
                       std::int64_t k,
                       std::int64_t row,
                       std::int64_t col) {
    float largest = 0;
    for (std::int64_t i = row / 128 * 128; i < std::min(n, row / 128 * 128 + 128); ++i) {
        for (std::int64_t j = col / 128 * 128; j < std::min(k, col / 128 * 128 + 128); ++j) {
            largest = std::max(largest, std::fabs(src[i * k + j]));
        }
    }
    return largest;
}

}  // namespace

TEST_CASE("quantising keeps every weight within half a step of e4m3") {
    struct Shape {
        std::int64_t n, k;
    };
    std::uint64_t seed = 1;
    for (const Shape shape :
         {Shape{1, 1}, {1, 129}, {128, 128}, {129, 127}, {200, 300}, {5, 256}}) {
        const std::int64_t n = shape.n;
        const std::int64_t k = shape.k;
        CAPTURE(n);
        CAPTURE(k);
        CAPTURE(seed);
        Random random(seed++);
        std::vector<float> src(n * k);
        for (float& value : src) {
            value = static_cast<float>(random.normal() * std::exp(4 * random.normal()));
        }
        const Quantised q = quantise(src, n, k);
        int n_outside = 0;
        for (std::int64_t i = 0; i < n; ++i) {
            for (std::int64_t j = 0; j < k; ++j) {
                const auto scale =
                    static_cast<double>(q.scales[i / 128 * scale_blocks(k) + j / 128]);
                CHECK(q.scales[i / 128 * scale_blocks(k) + j / 128] ==
                      largest_of_block(src, n, k, i, j) / 448.0f);
                // Normal codes: 3 mantissa bits, so half a step is at most 2^-4 of the value.
                // Subnormal ones: half of 2^-9, in units of the scale. Plus roundings in float.
                const auto value = static_cast<double>(src[i * k + j]);
                const double bound =
                    std::max(std::fabs(value) / 16.0, scale / 1024.0) * (1 + 4 * 0x1p-23);
                n_outside +=
                    !(std::fabs(static_cast<double>(q.values[i * k + j]) - value) <= bound);
            }
        }
        CHECK(n_outside == 0);
    }
}

TEST_CASE("codes are those of the rounding conversion") {
    Random random(77);
    std::vector<float> src(128 * 256);
    for (float& value : src)
        value = static_cast<float>(random.normal() * std::exp(6 * random.normal()));
    const Quantised q = quantise(src, 128, 256);
    int n_different = 0;
    for (std::int64_t i = 0; i < 128 * 256; ++i) {
        n_different += q.codes[i] != e4m3_from_float(src[i] / q.scales[i % 256 / 128]);
    }
    CHECK(n_different == 0);
}

TEST_CASE("values that are codes already survive quantising exactly") {
    std::vector<float> src(256);
    for (int code = 0; code < 256; ++code) {
        const float value = float_from_e4m3(static_cast<e4m3_t>(code));
        src[code] = std::isnan(value) ? 448.0f : value;
    }
    const Quantised q = quantise(src, 2, 128);  // both rows hold a 448, so the scale is 1
    CHECK(q.scales[0] == 1.0f);
    for (int code = 0; code < 256; ++code)
        CHECK(q.values[code] == src[code]);
}

TEST_CASE("a block of zeros has scale 1 and codes 0") {
    const Quantised q = quantise(std::vector<float>(130 * 130, 0.0f), 130, 130);
    for (int i = 0; i < 4; ++i)
        CHECK(q.scales[i] == 1.0f);
    CHECK(std::count(q.codes.begin(), q.codes.end() - 8, 0) == 130 * 130);
}

TEST_CASE("blocks do not see each other") {
    std::vector<float> src(256 * 256, 0.25f);
    src[0] = 1000.0f;
    const Quantised q = quantise(src, 256, 256);
    CHECK(q.scales[0] == 1000.0f / 448.0f);
    for (int i = 1; i < 4; ++i)
        CHECK(q.scales[i] == 0.25f / 448.0f);
}

TEST_CASE("extreme magnitudes stay finite") {
    for (const float magnitude : {FLT_MAX, FLT_MIN, FLT_TRUE_MIN, 1e-40f}) {
        CAPTURE(magnitude);
        const Quantised q = quantise({magnitude, -magnitude, magnitude / 2, 0.0f}, 2, 2);
        CHECK(q.scales[0] > 0);
        for (int i = 0; i < 4; ++i)
            CHECK(std::isfinite(q.values[i]));
        CHECK(std::fabs(q.values[0] - magnitude) <= std::max(magnitude / 16, FLT_MIN));
    }
}
