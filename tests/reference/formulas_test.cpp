#include "tests/reference/formulas.h"

#include <cmath>
#include <vector>

#include <doctest/doctest.h>

using namespace baltoro;
using namespace baltoro::reference;

namespace {

ModelConfig with_yarn(double theta, double factor, double beta_fast, double beta_slow) {
    ModelConfig config;
    config.qk_nope_head_dim = 128;
    config.qk_rope_head_dim = 64;
    config.rope_theta = theta;
    config.yarn = YarnConfig{.factor = factor,
                             .original_max_position_embeddings = 4096,
                             .beta_fast = beta_fast,
                             .beta_slow = beta_slow,
                             .mscale = 1.0,
                             .mscale_all_dim = 1.0};
    return config;
}

// The last pair that keeps its frequency and the first that is fully interpolated.
void check_ramp(const ModelConfig& config, int low, int high) {
    const std::vector<double> f = rope_frequencies(config);
    REQUIRE(f.size() == 32);
    const auto ratio = [&](int i) { return f[i] / std::pow(config.rope_theta, -i / 32.0); };
    CHECK(ratio(0) == doctest::Approx(1).epsilon(1e-12));
    CHECK(ratio(low) == doctest::Approx(1).epsilon(1e-12));
    CHECK(ratio(low + 1) < 0.999);
    CHECK(ratio(high) == doctest::Approx(1 / config.yarn->factor).epsilon(1e-12));
    if (high > low + 1) CHECK(ratio(high - 1) > 1.001 / config.yarn->factor);
}

ModelConfig router(int n_experts, int k, int n_group, int topk_group) {
    ModelConfig config;
    config.n_routed_experts = n_experts;
    config.num_experts_per_tok = k;
    config.n_group = n_group;
    config.topk_group = topk_group;
    return config;
}

}  // namespace

TEST_CASE("rms norm of 3, 4 with eps 12.5 divides by 5") {
    // mean square (9 + 16) / 2 = 12.5, plus 12.5 is 25
    const std::vector<double> y =
        rms_norm(std::vector<double>{3, 4}, std::vector<double>{1, 10}, 12.5);
    CHECK(y[0] == doctest::Approx(0.6).epsilon(1e-15));
    CHECK(y[1] == doctest::Approx(8.0).epsilon(1e-15));
}

TEST_CASE("a pair at position 2 with frequency pi / 4 turns by a right angle") {
    std::vector<double> x = {3, 5};
    rotate(x, 2, std::vector<double>{M_PI / 4});
    CHECK(x[0] == doctest::Approx(-5).epsilon(1e-15));
    CHECK(x[1] == doctest::Approx(3).epsilon(1e-15));
}

TEST_CASE("rotated pairs are neighbours") {
    std::vector<double> x = {1, 0, 1, 0};
    rotate(x, 1, std::vector<double>{M_PI / 2, M_PI});
    CHECK(x[0] == doctest::Approx(0).epsilon(1e-15));
    CHECK(x[1] == doctest::Approx(1).epsilon(1e-15));
    CHECK(x[2] == doctest::Approx(-1).epsilon(1e-15));
    CHECK(x[3] == doctest::Approx(0).epsilon(1e-15));
}

TEST_CASE("YaRN of Kimi-K2-Instruct interpolates from pair 20 on") {
    const ModelConfig config = with_yarn(50000, 32, 1, 1);
    check_ramp(config, 19, 20);
    CHECK(softmax_scale(config) == doctest::Approx(0.13086079996295005).epsilon(1e-14));
}

TEST_CASE("YaRN of Kimi-K2-Thinking has a factor of 64") {
    const ModelConfig config = with_yarn(50000, 64, 1, 1);
    check_ramp(config, 19, 20);
    CHECK(softmax_scale(config) == doctest::Approx(0.14467962580268923).epsilon(1e-14));
}

TEST_CASE("YaRN of Kimi-K2.5 ramps from pair 8 to 20") {
    const ModelConfig config = with_yarn(50000, 64, 32, 1);
    check_ramp(config, 8, 20);
    CHECK(softmax_scale(config) == doctest::Approx(0.14467962580268923).epsilon(1e-14));
}

TEST_CASE("YaRN of DeepSeek-V3 ramps from pair 10 to 23") {
    const ModelConfig config = with_yarn(10000, 40, 32, 1);
    check_ramp(config, 10, 23);
    CHECK(softmax_scale(config) == doctest::Approx(0.1352337788608801).epsilon(1e-14));
}

TEST_CASE("a ramp of no length steps from one pair to the next") {
    // 4096 = 2 pi * rotations * theta^(2 * 20 / 64): the pair is exactly 20, low = high = 20.
    ModelConfig config = with_yarn(50000, 32, 1, 1);
    const double rotations = 4096 / (2 * M_PI) / std::pow(50000.0, 20.0 / 32);
    config.yarn->beta_fast = rotations * (1 - 1e-12);  // just above 20: floor is 20
    config.yarn->beta_slow = rotations * (1 + 1e-12);  // just below 20: ceiling is 20
    check_ramp(config, 20, 21);
}

TEST_CASE("without YaRN frequencies and scale are plain") {
    ModelConfig config = with_yarn(10000, 1, 1, 1);
    config.yarn.reset();
    const std::vector<double> f = rope_frequencies(config);
    CHECK(f[0] == 1.0);
    CHECK(f[16] == doctest::Approx(0.01).epsilon(1e-14));
    CHECK(softmax_scale(config) == doctest::Approx(1 / std::sqrt(192.0)).epsilon(1e-15));
}

TEST_CASE("softmax of 0 and ln 3 is a quarter and three quarters, however large") {
    std::vector<double> x = {1000, 1000 + std::log(3)};
    softmax(x);
    CHECK(x[0] == doctest::Approx(0.25).epsilon(1e-12));
    CHECK(x[1] == doctest::Approx(0.75).epsilon(1e-12));
}

TEST_CASE("the bias chooses experts and has no part in their weights") {
    ModelConfig config = router(3, 2, 1, 1);
    config.routed_scaling_factor = 2;
    // scores 0.5, 0.75, 0.25; choices 0.5, 0.0, 0.75
    const std::vector<double> logits = {0, std::log(3), -std::log(3)};
    const Routing routing = route(config, logits, std::vector<double>{0, -0.75, 0.5});
    CHECK(routing.experts == std::vector<int>{0, 2});
    CHECK(routing.weights[0] == doctest::Approx(2 * 0.5 / 0.75).epsilon(1e-15));
    CHECK(routing.weights[1] == doctest::Approx(2 * 0.25 / 0.75).epsilon(1e-15));
}

TEST_CASE("weights that are not normalised are scaled all the same") {
    ModelConfig config = router(2, 1, 1, 1);
    config.norm_topk_prob = false;
    config.routed_scaling_factor = 2;
    const Routing routing =
        route(config, std::vector<double>{0, std::log(3)}, std::vector<double>{0, 0});
    CHECK(routing.experts == std::vector<int>{1});
    CHECK(routing.weights[0] == doctest::Approx(1.5).epsilon(1e-15));
}

TEST_CASE("equal choices go to the lower expert") {
    const Routing routing =
        route(router(4, 2, 1, 1), std::vector<double>{-1, 0, 0, 0}, std::vector<double>(4, 0.0));
    CHECK(routing.experts == std::vector<int>{1, 2});
}

TEST_CASE("groups are ranked by their two best experts") {
    // The best single expert is in group 0, the best pair in group 1.
    const std::vector<double> bias = {0.9, 0.0, 0.0, 0.6, 0.6, 0.0};
    const Routing routing = route(router(6, 2, 2, 1), std::vector<double>(6, 0.0), bias);
    CHECK(routing.experts == std::vector<int>{3, 4});
}

TEST_CASE("experts of dropped groups lose even to negative choices") {
    // Choices: group 0 has -0.1, -0.2, -0.3; group 1 has -0.4, -0.5, -0.6.
    const std::vector<double> bias = {-0.6, -0.7, -0.8, -0.9, -1.0, -1.1};
    const Routing routing = route(router(6, 3, 2, 1), std::vector<double>(6, 0.0), bias);
    CHECK(routing.experts == std::vector<int>{0, 1, 2});
}

TEST_CASE("equal groups go to the lower group") {
    const Routing routing =
        route(router(4, 2, 2, 1), std::vector<double>(4, 0.0), std::vector<double>(4, 0.0));
    CHECK(routing.experts == std::vector<int>{0, 1});
}
