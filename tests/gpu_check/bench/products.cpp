// The products with fp8 weights of a layer's attention and shared expert, for one row.

#include <algorithm>

#include <fmt/format.h>

#include "tests/gpu_check/bench/bench_run.h"

namespace baltoro::gpu_check {
namespace {

constexpr double kBar = 0.70;
constexpr double kGoal = 0.85;

// The weights of one layer.
struct Layer {
    BenchWeight q_a;
    BenchWeight kv_a;
    BenchWeight q_b;
    BenchWeight kv_b;
    BenchWeight o;
    BenchWeight gate;
    BenchWeight up;
    BenchWeight down;
};

// The vectors between them; each as large as any product needs.
struct Vectors {
    BenchMemory x;        // bf16
    BenchMemory q;        // f32
    BenchMemory rope;     // f32
    BenchMemory context;  // bf16
    BenchMemory dst;      // f32
    BenchMemory dst_bf16;
};

constexpr int kQDim = k2::kMla.n_heads * (k2::kMla.qk_nope_head_dim + k2::kMla.qk_rope_head_dim);
constexpr int kVDim = k2::kMla.n_heads * k2::kMla.v_head_dim;
constexpr int kKvDim = k2::kMla.n_heads * (k2::kMla.qk_nope_head_dim + k2::kMla.v_head_dim);

std::vector<Layer> make_layers(BenchRun& run) {
    std::vector<Layer> layers;
    // The smallest weight read alone is kv_a: that many layers make all of them cold.
    const int n_layers = std::min(run.cold_copies(4.2e6), k2::kLayers);
    for (int i = 0; i < n_layers; i++)
        layers.push_back(
            {run.random_fp8(k2::kQLoraRank, k2::kHidden),
             run.random_fp8(k2::kLatentDim, k2::kHidden), run.random_fp8(kQDim, k2::kQLoraRank),
             run.random_fp8(kKvDim, k2::kMla.kv_lora_rank), run.random_fp8(k2::kHidden, kVDim),
             run.random_fp8(k2::kSharedIntermediate, k2::kHidden),
             run.random_fp8(k2::kSharedIntermediate, k2::kHidden),
             run.random_fp8(k2::kHidden, k2::kSharedIntermediate)});
    return layers;
}

// One kind of product: how it is queued for a layer and what it must read.
struct Product {
    const char* name;
    void (*queue)(BenchRun& run, const Layer& layer, const Vectors& vectors);
    double (*weight_bytes)(const Layer& layer);
};

void queue_rows(BenchRun& run, const BenchWeight& w, const Vectors& vectors) {
    run.kernels().row_product(run.stream(), {w.weight, vectors.x.as<bf16_t>(), nullptr, 1,
                                             vectors.dst.as<float>(), false});
}

const Product kProducts[] = {
    {"q_a  [1536, 7168]",
     [](BenchRun& r, const Layer& l, const Vectors& v) { queue_rows(r, l.q_a, v); },
     [](const Layer& l) { return l.q_a.size_bytes(); }},
    {"kv_a  [576, 7168]",
     [](BenchRun& r, const Layer& l, const Vectors& v) { queue_rows(r, l.kv_a, v); },
     [](const Layer& l) { return l.kv_a.size_bytes(); }},
    {"q_b  [12288, 1536]",
     [](BenchRun& r, const Layer& l, const Vectors& v) { queue_rows(r, l.q_b, v); },
     [](const Layer& l) { return l.q_b.size_bytes(); }},
    {"kv_b, queries  64 x [128, 512]",
     [](BenchRun& r, const Layer& l, const Vectors& v) {
         r.kernels().absorb_queries(r.stream(), {k2::kMla, v.q.as<float>(), l.kv_b.weight,
                                                 v.rope.as<float>(), 1, v.dst_bf16.as<bf16_t>()});
     },
     [](const Layer& l) { return l.kv_b.size_bytes() / 2; }},
    {"kv_b, values  64 x [128, 512]",
     [](BenchRun& r, const Layer& l, const Vectors& v) {
         r.kernels().project_values(r.stream(), {k2::kMla, v.context.as<bf16_t>(), l.kv_b.weight, 1,
                                                 v.dst_bf16.as<bf16_t>()});
     },
     [](const Layer& l) { return l.kv_b.size_bytes() / 2; }},
    {"o  [7168, 8192]",
     [](BenchRun& r, const Layer& l, const Vectors& v) { queue_rows(r, l.o, v); },
     [](const Layer& l) { return l.o.size_bytes(); }},
    {"shared gate and up  2 x [2048, 7168]",
     [](BenchRun& r, const Layer& l, const Vectors& v) {
         r.kernels().gated_row_product(r.stream(), {l.gate.weight, l.up.weight, v.x.as<bf16_t>(), 1,
                                                    v.dst_bf16.as<bf16_t>()});
     },
     [](const Layer& l) { return l.gate.size_bytes() + l.up.size_bytes(); }},
    {"shared down  [7168, 2048]",
     [](BenchRun& r, const Layer& l, const Vectors& v) { queue_rows(r, l.down, v); },
     [](const Layer& l) { return l.down.size_bytes(); }},
};

void add_line(
    BenchRun& run, const std::string& name, const Spread& time, double bytes, bool judged) {
    const double rate = bytes / (time.median_us * 1e-6);
    Line line{
        name, time, fmt::format("{:.2f} TB/s", rate * 1e-12), rate / run.report().copy_bytes_per_s,
        {},   {}};
    if (judged) {
        line.bar = kBar;
        line.goal = kGoal;
    }
    run.report().add(std::move(line));
}

}  // namespace

void bench_products(BenchRun& run) {
    const gpu::Table& kernels = run.kernels();
    if (kernels.row_product == nullptr || kernels.gated_row_product == nullptr ||
        kernels.absorb_queries == nullptr || kernels.project_values == nullptr)
        return run.report().skip("products of one row: a kernel is not there yet");
    const std::vector<Layer> layers = make_layers(run);
    const auto n_layers = static_cast<int>(layers.size());
    const Vectors vectors{run.random_bf16(16384),
                          run.random_f32(16384),
                          run.random_f32(64),
                          run.random_bf16(64 * 512),
                          run.zeros(16384 * sizeof(float)),
                          run.zeros(64 * 576 * sizeof(bf16_t))};
    double layer_bytes = 0;
    for (const Product& product : kProducts) {
        const Spread time = run.time_calls(n_layers, [&](int i) {
            product.queue(run, layers[static_cast<std::size_t>(i)], vectors);
        });
        const double bytes = product.weight_bytes(layers.front());
        layer_bytes += bytes;
        add_line(run, fmt::format("fp8, 1 row: {}", product.name), time, bytes, false);
    }
    const Spread time = run.time_calls(n_layers, [&](int i) {
        for (const Product& product : kProducts)
            product.queue(run, layers[static_cast<std::size_t>(i)], vectors);
    });
    add_line(run, "fp8, 1 row: all products of a layer", time, layer_bytes, true);
}

}  // namespace baltoro::gpu_check
