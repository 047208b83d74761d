// A decode step of a model with Kimi-K2's dimensions by the product's own device, while threads of
// the host read as many bytes as the routed experts have. They stand for the experts' kernels,
// which need packages that a machine with a GPU may lack.

#include <algorithm>
#include <chrono>
#include <numeric>

#include <fmt/format.h>

#include "device/cuda_platform.h"
#include "device/gpu_device.h"
#include "tests/gpu_check/bench/bench_run.h"
#include "tests/gpu_check/bench/host_readers.h"

namespace baltoro::gpu_check {
namespace {

using device::Buffer;
using device::Matrix;
using device::MemoryKind;

constexpr double kBar = 1 / 1.10;
constexpr double kGoal = 1 / 1.03;
constexpr int kMoeLayers = 60;
constexpr int kDistinctLayers = 8;  // whose weights are used in turn; more than the cache holds
constexpr int kExperts = 384;
constexpr int kTopK = 8;
constexpr int kVocab = 163840;
constexpr int kTokens = 8192;  // of context
constexpr std::size_t kExpertBytes = std::size_t{3} * k2::kHidden * k2::kSharedIntermediate;
constexpr int kWarmUps = 3;
constexpr int kSteps = 11;

constexpr device::MlaShapes kMla{k2::kMla.n_heads, k2::kMla.kv_lora_rank, k2::kMla.qk_nope_head_dim,
                                 k2::kMla.qk_rope_head_dim, k2::kMla.v_head_dim};

struct Layer {
    Matrix q_a, kv_a, q_b, kv_b, o, gate, up, down, router;
    Buffer pages;
};

// One row of every activation.
struct Activations {
    explicit Activations(device::Device& device)
        : x(device.allocate(k2::kHidden * 4, MemoryKind::device)),
          normed(device.allocate(k2::kHidden * 2, MemoryKind::device)),
          normed_f32(device.allocate(k2::kHidden * 4, MemoryKind::device)),
          gain(device.allocate(k2::kHidden * 2, MemoryKind::device)),
          rope(device.allocate(k2::kMla.qk_rope_head_dim * 4, MemoryKind::device)),
          bias(device.allocate(kExperts * 4, MemoryKind::device)),
          q_latent(device.allocate(k2::kQLoraRank * 4, MemoryKind::device)),
          q_latent_normed(device.allocate(k2::kQLoraRank * 2, MemoryKind::device)),
          q(device.allocate(std::size_t{64} * 192 * 4, MemoryKind::device)),
          kv(device.allocate(k2::kLatentDim * 4, MemoryKind::device)),
          attended(device.allocate(std::size_t{64} * 128 * 2, MemoryKind::device)),
          experts_in(device.allocate(k2::kHidden * 2, MemoryKind::shared)),
          ids(device.allocate(kTopK * 4, MemoryKind::shared)),
          gains(device.allocate(kTopK * 4, MemoryKind::shared)),
          routed(device.allocate(k2::kHidden * 4, MemoryKind::shared)),
          logits(device.allocate(std::size_t{kVocab} * 4, MemoryKind::shared)) {}

    Buffer x, normed, normed_f32, gain, rope, bias, q_latent, q_latent_normed, q, kv, attended;
    Buffer experts_in, ids, gains, routed, logits;
};

// The model: 60 layers of attention, router and shared expert, and the head.
class Model {
  public:
    explicit Model(int gpu_idx)
        : device_(device::make_cuda_platform({gpu_idx})),
          bytes_(std::size_t{kVocab} * k2::kHidden * 2),
          scales_(1 << 16, 0.01f),
          pages_(kTokens / device::kPageTokens + 1),
          activations_(device_) {
        // Any pattern of finite numbers, in bf16 as in e4m3.
        for (std::size_t i = 0; i < bytes_.size(); i++)
            bytes_[i] = static_cast<std::byte>(i * 2654435761u >> 24 & 0x3fu);
        std::iota(pages_.begin(), pages_.end(), 0);
        for (int i = 0; i < kDistinctLayers; i++)
            layers_.push_back(make_layer());
        head_ = place(DType::bf16, kVocab, k2::kHidden);
        const std::vector<bf16_t> ones(k2::kHidden, bf16_from_float(1.0f));
        device_.copy_from_host(activations_.gain.as<void>(), ones.data(), ones.size() * 2);
        device_.finish();
    }

    // Returns microseconds. `work` is done by the host in every layer.
    double run(const device::HostWork& work) {
        const auto begin = std::chrono::steady_clock::now();
        const device::SequenceRows row{0, 1, kTokens - 1, pages_};
        constexpr std::int32_t kLogitRow = 0;
        device_.begin_step(StepKind::decode);
        const std::vector<float>& x = first_row_;
        device_.copy_from_host(activations_.x.as<void>(), x.data(), x.size() * sizeof(float));
        device_.begin_repeatable({{&row, 1}, {&kLogitRow, 1}});
        for (int l = 0; l < kMoeLayers; l++)
            add_layer(layers_[static_cast<std::size_t>(l % kDistinctLayers)], row, work);
        normalise(nullptr);
        device_.product(
            {head_, activations_.normed.as<bf16_t>(), 1, activations_.logits.as<float>(), false});
        device_.finish();
        return std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - begin)
            .count();
    }

    const device::GpuDevice::GraphCounts& graph_counts() const { return device_.graph_counts(); }

  private:
    Matrix place(DType dtype, int n, int k) {
        const std::size_t width = dtype == DType::bf16 ? 2 : 1;
        const TensorView weight{dtype,
                                {n, k},
                                bytes_.data(),
                                static_cast<std::size_t>(n) * static_cast<std::size_t>(k) * width};
        const int rows = (n + 127) / 128;
        const int columns = (k + 127) / 128;
        const TensorView scale{DType::f32,
                               {rows, columns},
                               reinterpret_cast<const std::byte*>(scales_.data()),
                               static_cast<std::size_t>(rows * columns) * sizeof(float)};
        return device_.place(weight, dtype == DType::bf16 ? nullptr : &scale,
                             device::WeightUse::product);
    }

    Layer make_layer() {
        const auto fp8 = [&](int n, int k) { return place(DType::f8_e4m3, n, k); };
        Layer layer;
        layer.q_a = fp8(k2::kQLoraRank, k2::kHidden);
        layer.kv_a = fp8(k2::kLatentDim, k2::kHidden);
        layer.q_b = fp8(kMla.n_heads * kMla.qk_head_dim(), k2::kQLoraRank);
        layer.kv_b =
            fp8(kMla.n_heads * (kMla.qk_nope_head_dim + kMla.v_head_dim), kMla.kv_lora_rank);
        layer.o = fp8(k2::kHidden, kMla.n_heads * kMla.v_head_dim);
        layer.gate = fp8(k2::kSharedIntermediate, k2::kHidden);
        layer.up = fp8(k2::kSharedIntermediate, k2::kHidden);
        layer.down = fp8(k2::kHidden, k2::kSharedIntermediate);
        layer.router = place(DType::bf16, kExperts, k2::kHidden);
        layer.pages = device_.allocate(
            std::size_t{kTokens + device::kPageTokens} * k2::kLatentDim * 2, MemoryKind::device);
        return layer;
    }

    void normalise(float* dst_f32) {
        device_.rms_norm({activations_.x.as<float>(), k2::kHidden, activations_.gain.as<bf16_t>(),
                          1e-6, 1, k2::kHidden, dst_f32, activations_.normed.as<bf16_t>()});
    }

    // As the product's model does it.
    void add_layer(const Layer& layer,
                   const device::SequenceRows& row,
                   const device::HostWork& work) {
        Activations& a = activations_;
        auto* x = a.x.as<float>();
        auto* normed = a.normed.as<bf16_t>();
        normalise(nullptr);
        device_.product({layer.q_a, normed, 1, a.q_latent.as<float>(), false});
        device_.rms_norm({a.q_latent.as<float>(), k2::kQLoraRank, a.gain.as<bf16_t>(), 1e-6, 1,
                          k2::kQLoraRank, nullptr, a.q_latent_normed.as<bf16_t>()});
        device_.product({layer.q_b, a.q_latent_normed.as<bf16_t>(), 1, a.q.as<float>(), false});
        device_.product({layer.kv_a, normed, 1, a.kv.as<float>(), false});
        device_.write_latent({kMla,
                              {&row, 1},
                              a.kv.as<float>(),
                              a.gain.as<bf16_t>(),
                              1e-6,
                              a.rope.as<float>(),
                              layer.pages.as<bf16_t>()});
        device_.attend({kMla,
                        {&row, 1},
                        a.q.as<float>(),
                        layer.kv_b,
                        a.rope.as<float>(),
                        0.1f,
                        layer.pages.as<bf16_t>(),
                        a.attended.as<bf16_t>()});
        device_.product({layer.o, a.attended.as<bf16_t>(), 1, x, true});
        normalise(a.normed_f32.as<float>());
        device_.route({layer.router, a.bias.as<float>(), kTopK, 1, 1, true, 2.827f,
                       a.normed_f32.as<float>(), 1, a.ids.as<std::int32_t>(), a.gains.as<float>()});
        device_.publish(normed, a.experts_in.as<void>(), k2::kHidden * sizeof(bf16_t));
        const int number = device_.begin_host_work(work);
        device_.gated_ffn({layer.gate, layer.up, layer.down, normed, 1, x});
        device_.end_host_work(number);
        device_.add(a.routed.as<float>(), x, k2::kHidden);
    }

    device::GpuDevice device_;
    std::vector<std::byte> bytes_;  // of any weight
    std::vector<float> scales_;
    std::vector<float> first_row_ = std::vector<float>(k2::kHidden, 0.5f);
    std::vector<std::int32_t> pages_;
    std::vector<Layer> layers_;
    Matrix head_;
    Activations activations_;
};

Spread time_steps(const std::function<double()>& step) {
    std::vector<double> times_us;
    for (int i = 0; i < kWarmUps + kSteps; i++) {
        const double time_us = step();
        if (i >= kWarmUps) times_us.push_back(time_us);
    }
    return spread_of(std::move(times_us));
}

}  // namespace

void bench_decode_step(BenchRun& run) {
    Model model(run.gpu_idx());
    HostReaders readers;
    const auto read_experts = [](void* context) {
        static_cast<HostReaders*>(context)->read(kTopK * kExpertBytes);
    };
    const auto read_alone = [&] {
        const auto begin = std::chrono::steady_clock::now();
        for (int l = 0; l < kMoeLayers; l++)
            read_experts(&readers);
        return std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - begin)
            .count();
    };
    const Spread gpu = time_steps([&] { return model.run({[](void*) {}, nullptr}); });
    const Spread cpu = time_steps(read_alone);
    const Spread both = time_steps([&] { return model.run({read_experts, &readers}); });
    run.report().add({"decode step, 60 layers, 8 k: GPU, empty expert work", gpu, "", {}, {}, {}});
    run.report().add(
        {fmt::format("decode step: reading experts, {} threads", readers.n_threads()),
         cpu,
         fmt::format("{:.1f} GB/s",
                     1e-3 * static_cast<double>(kMoeLayers * kTopK * kExpertBytes) / cpu.median_us),
         {},
         {},
         {}});
    run.report().add({"decode step: both; share of max(GPU, CPU)", both,
                      fmt::format("{} graph", model.graph_counts().recorded),
                      std::max(gpu.median_us, cpu.median_us) / both.median_us, kBar, kGoal});
}

}  // namespace baltoro::gpu_check
