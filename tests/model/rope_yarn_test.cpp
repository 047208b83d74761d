#include "model/rope_yarn.h"

#include <cmath>

#include <doctest/doctest.h>

using namespace baltoro;

namespace {

ModelConfig kimi_shapes() {
    ModelConfig config;
    config.qk_nope_head_dim = 128;
    config.qk_rope_head_dim = 64;
    config.rope_theta = 50000.0;
    return config;
}

ModelConfig with_yarn(double factor, double beta_fast, double theta = 50000.0) {
    ModelConfig config = kimi_shapes();
    config.rope_theta = theta;
    config.yarn = YarnConfig{.factor = factor,
                             .original_max_position_embeddings = 4096,
                             .beta_fast = beta_fast,
                             .beta_slow = 1.0,
                             .mscale = 1.0,
                             .mscale_all_dim = 1.0};
    return config;
}

void check_model(const ModelConfig& config, int low, int high, double magnitude, double scale) {
    CAPTURE(config.yarn->factor);
    CAPTURE(config.yarn->beta_fast);
    CHECK(yarn_ramp(config).low == low);
    CHECK(yarn_ramp(config).high == high);
    CHECK(yarn_magnitude(config) == doctest::Approx(magnitude).epsilon(1e-14));
    CHECK(attention_scale(config) == doctest::Approx(scale).epsilon(1e-14));
    const std::vector<double> frequencies = rope_frequencies(config);
    REQUIRE(frequencies.size() == 32);
    for (int i = 0; i < 32; ++i) {
        CAPTURE(i);
        const double plain = std::pow(config.rope_theta, -i / 32.0);
        if (i <= low) CHECK(frequencies[i] == doctest::Approx(plain).epsilon(1e-14));
        if (i >= high)
            CHECK(frequencies[i] == doctest::Approx(plain / config.yarn->factor).epsilon(1e-14));
        if (i > low && i < high) {
            CHECK(frequencies[i] < plain);
            CHECK(frequencies[i] > plain / config.yarn->factor);
        }
    }
}

}  // namespace

TEST_CASE("YaRN ramp, magnitude and softmax scale of the published models") {
    check_model(with_yarn(32, 1), 19, 20, 1.3465735902799727, 0.13086079996295005);  // K2-Instruct
    check_model(with_yarn(64, 1), 19, 20, 1.4158883083359672, 0.14467962580268923);  // 0905
    check_model(with_yarn(64, 32), 8, 20, 1.4158883083359672, 0.14467962580268923);  // K2.5
    check_model(with_yarn(40, 32, 1e4), 10, 23, 1.3688879454113936,
                0.1352337788608801);  // DeepSeek-V3
}

TEST_CASE("the ramp is linear between its ends") {
    const std::vector<double> frequencies = rope_frequencies(with_yarn(64, 32));
    const double plain = std::pow(50000.0, -14 / 32.0);
    CHECK(frequencies[14] == doctest::Approx(plain * (0.5 + 0.5 / 64)).epsilon(1e-14));
}

TEST_CASE("without scaling frequencies and softmax scale are plain") {
    const ModelConfig moonlight = kimi_shapes();
    CHECK(attention_scale(moonlight) == doctest::Approx(1 / std::sqrt(192.0)).epsilon(1e-15));
    CHECK(yarn_magnitude(moonlight) == 1.0);
    const std::vector<double> frequencies = rope_frequencies(moonlight);
    REQUIRE(frequencies.size() == 32);
    CHECK(frequencies[0] == 1.0);
    CHECK(frequencies[16] == doctest::Approx(1 / std::sqrt(50000.0)).epsilon(1e-14));
}

TEST_CASE("a factor of one changes nothing") {
    const ModelConfig config = with_yarn(1, 32);
    CHECK(yarn_magnitude(config) == 1.0);
    CHECK(rope_frequencies(config)[31] ==
          doctest::Approx(rope_frequencies(kimi_shapes())[31]).epsilon(1e-14));
}

TEST_CASE("a ramp without width is a step and not a division by zero") {
    ModelConfig config = with_yarn(8, 1);
    config.yarn->original_max_position_embeddings = 1;  // both ends are clamped to 0
    for (const double frequency : rope_frequencies(config))
        CHECK(std::isfinite(frequency));
}
