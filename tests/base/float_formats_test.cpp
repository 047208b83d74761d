#include "base/float_formats.h"

#include <cmath>
#include <cstdint>
#include <limits>

#include <doctest/doctest.h>

using namespace baltoro;

namespace {

// The value of a code from the format's definition (OCP OFP8 1.0, table 1), not from bit moves.
double defined_value(int code) {
    const int sign = code & 0x80 ? -1 : 1;
    const int exponent = (code >> 3) & 15;
    const int mantissa = code & 7;
    if (exponent == 15 && mantissa == 7) return std::numeric_limits<double>::quiet_NaN();
    if (exponent == 0) return sign * std::ldexp(mantissa, -9);
    return sign * std::ldexp(8 + mantissa, exponent - 10);
}

// The nearest finite code by exhaustive search, ties to the even code.
int nearest_code(double value) {
    int best = 0;
    double best_distance = std::numeric_limits<double>::infinity();
    for (int code = 0; code < 0x7f; code++) {
        const double distance = std::abs(defined_value(code) - std::abs(value));
        const bool closer =
            distance < best_distance || (distance == best_distance && code % 2 == 0);
        if (closer) {
            best = code;
            best_distance = distance;
        }
    }
    return std::signbit(value) ? best | 0x80 : best;
}

}  // namespace

TEST_CASE("every e4m3 code decodes to its defined value") {
    for (int code = 0; code < 256; code++) {
        CAPTURE(code);
        const double expected = defined_value(code);
        const float actual = float_from_e4m3(static_cast<e4m3_t>(code));
        if (std::isnan(expected)) {
            CHECK(std::isnan(actual));
        } else {
            CHECK(static_cast<double>(actual) == expected);
            CHECK(std::signbit(actual) == (code >= 128));
        }
    }
}

TEST_CASE("e4m3 encoding is the nearest code with ties to even") {
    for (int step = -4000; step <= 4000; step++) {
        const float value = static_cast<float>(step) * 0.000244140625f;
        CAPTURE(value);
        CHECK(e4m3_from_float(value) == nearest_code(static_cast<double>(value)));
    }
    for (int step = -2000; step <= 2000; step++) {
        const float value = static_cast<float>(step) * 0.2237f;
        CAPTURE(value);
        CHECK(e4m3_from_float(value) == nearest_code(static_cast<double>(value)));
    }
}

TEST_CASE("e4m3 encoding saturates and keeps NaN") {
    CHECK(e4m3_from_float(449.0f) == 0x7e);
    CHECK(e4m3_from_float(-1e30f) == 0xfe);
    CHECK(e4m3_from_float(std::numeric_limits<float>::infinity()) == 0x7e);
    CHECK(e4m3_from_float(std::numeric_limits<float>::quiet_NaN()) == 0x7f);
}

TEST_CASE("bf16 rounds to nearest even") {
    CHECK(bf16_from_float(1.0f) == 0x3f80);
    CHECK(bf16_from_float(1.00390625f) == 0x3f80);  // halfway, even below
    CHECK(bf16_from_float(1.01171875f) == 0x3f82);  // halfway, even above
    CHECK(bf16_from_float(1.004f) == 0x3f81);
    CHECK(bf16_from_float(3.4e38f) == 0x7f80);
    CHECK(std::isnan(float_from_bf16(bf16_from_float(std::numeric_limits<float>::quiet_NaN()))));
    CHECK(std::isnan(float_from_bf16(bf16_from_float(float_from_bits(0x7f800001u)))));
    CHECK(float_from_bf16(0xc2f7) == -123.5f);
}
