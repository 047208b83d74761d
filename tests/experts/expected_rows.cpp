#include "tests/experts/expected_rows.h"

#include <cmath>
#include <vector>

#include <doctest/doctest.h>

#include "tests/experts/plain_kernels.h"

namespace baltoro::testing {

using namespace experts;

namespace {

// What one row must be, in double, and how far rounding may take it from there.
struct Expected {
    std::vector<double> value;
    std::vector<double> bound;
};

double dot(const kernels::Weight& w, int i, const std::vector<double>& x) {
    double sum = 0;
    for (int j = 0; j < w.k; ++j)
        sum += static_cast<double>(weight_at(w, i, j)) * x[j];
    return sum;
}

double dot_of_magnitudes(const kernels::Weight& w, int i, const std::vector<double>& x) {
    double sum = 0;
    for (int j = 0; j < w.k; ++j)
        sum += std::fabs(static_cast<double>(weight_at(w, i, j)) * x[j]);
    return sum;
}

// silu(gate) * up is rounded to bf16 (2^-9) and comes from f32 sums, whose error is at most
// k eps sum|a||b|; so is the down projection's.
void add_expert(const ExpertWeights& expert,
                const std::vector<double>& x,
                double gain,
                Expected& expected) {
    const double eps = std::ldexp(1.0, -23) * (expert.gate.k + expert.down.k + 16);
    std::vector<double> h(expert.gate.n);
    std::vector<double> h_bound(expert.gate.n);
    for (int i = 0; i < expert.gate.n; ++i) {
        const double gate = dot(expert.gate, i, x);
        const double up = dot(expert.up, i, x);
        h[i] = gate / (1 + std::exp(-gate)) * up;
        const double gate_error = 1.1 * eps * dot_of_magnitudes(expert.gate, i, x);
        const double up_error = eps * dot_of_magnitudes(expert.up, i, x);
        h_bound[i] = std::ldexp(1.0, -9) * std::fabs(h[i]) + gate_error * std::fabs(up) +
                     (std::fabs(gate) + 1) * up_error + gate_error * up_error;
    }
    for (int i = 0; i < expert.down.n; ++i) {
        expected.value[i] += gain * dot(expert.down, i, h);
        expected.bound[i] += gain * (dot_of_magnitudes(expert.down, i, h_bound) * 1.01 +
                                     eps * dot_of_magnitudes(expert.down, i, h));
    }
}

Expected expected_row(const RandomBatch& batch, const ExpertStore& store, int r) {
    const int hidden = batch.shapes.hidden_size;
    const int per_row = batch.shapes.experts_per_row;
    std::vector<double> x(hidden);
    for (int j = 0; j < hidden; ++j)
        x[j] = static_cast<double>(float_from_bf16(batch.x[r * hidden + j]));
    Expected expected{std::vector<double>(hidden), std::vector<double>(hidden)};
    for (int i = r * per_row; i < (r + 1) * per_row; ++i) {
        if (store.expert(0, batch.expert_ids[i]).gate.data == nullptr) continue;
        add_expert(store.expert(0, batch.expert_ids[i]), x, static_cast<double>(batch.gains[i]),
                   expected);
    }
    return expected;
}

}  // namespace

void check_rows(const RandomBatch& batch, const ExpertStore& store) {
    const int hidden = batch.shapes.hidden_size;
    for (int r = 0; r < batch.n_rows(); ++r) {
        const Expected expected = expected_row(batch, store, r);
        int n_wrong = 0;
        for (int i = 0; i < hidden; ++i) {
            const double got = static_cast<double>(batch.dst[r * hidden + i]);
            if (!(std::fabs(got - expected.value[i]) <= expected.bound[i])) ++n_wrong;
        }
        CAPTURE(r);
        CHECK(n_wrong == 0);
    }
}

}  // namespace baltoro::testing
