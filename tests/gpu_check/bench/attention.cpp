// Latent attention: of one new token over a long context, and of a prompt.

#include <algorithm>
#include <numeric>

#include <fmt/format.h>

#include "base/random.h"
#include "tests/gpu_check/bench/bench_run.h"

namespace baltoro::gpu_check {
namespace {

constexpr float kScale = 0.1352f;  // about K2's, mscale included

// Pages in an order such as they have after many requests.
std::vector<std::int32_t> shuffled_pages(int n_pages) {
    std::vector<std::int32_t> pages(static_cast<std::size_t>(n_pages));
    std::iota(pages.begin(), pages.end(), 0);
    Random random(7);
    for (std::size_t i = pages.size(); i > 1; i--)
        std::swap(pages[i - 1], pages[random.below(i)]);
    return pages;
}

// One row over n_tokens of context, every call over the pages of another sequence.
void bench_context(BenchRun& run, int n_tokens) {
    const int pages_per_sequence = n_tokens / gpu::kPageTokens;
    const double cache_bytes = static_cast<double>(n_tokens) * k2::kLatentDim * sizeof(bf16_t);
    const int n_sequences = run.cold_copies(cache_bytes);
    const int n_pages = n_sequences * pages_per_sequence;
    const BenchMemory pages =
        run.random_bf16(static_cast<std::size_t>(n_pages) * gpu::kPageTokens * k2::kLatentDim);
    const BenchMemory page_tables = run.upload(shuffled_pages(n_pages));
    std::vector<gpu::DecodeRow> host_rows;
    for (int s = 0; s < n_sequences; s++)
        host_rows.push_back({n_tokens, s * pages_per_sequence});
    const BenchMemory rows = run.upload(host_rows);
    const int n_splits = gpu::MlaDecode::max_splits(n_tokens);
    const std::size_t n_parts = static_cast<std::size_t>(n_splits) * k2::kMla.n_heads;
    const BenchMemory queries = run.random_bf16(std::size_t{64} * k2::kLatentDim);
    const BenchMemory partials = run.zeros(n_parts * 512 * sizeof(float));
    const BenchMemory extrema = run.zeros(n_parts * 2 * sizeof(float));
    const BenchMemory dst = run.zeros(std::size_t{64} * 512 * sizeof(bf16_t));
    const int n_calls = std::max(n_sequences, 32);
    const Spread time = run.time_calls(n_calls, [&](int i) {
        const gpu::DecodeRow* row = rows.as<gpu::DecodeRow>() + i % n_sequences;
        run.kernels().mla_decode(
            run.stream(),
            {k2::kMla, queries.as<bf16_t>(), row, page_tables.as<std::int32_t>(),
             pages.as<bf16_t>(), kScale, 1, n_splits, partials.as<float>(), extrema.as<float>()});
        run.kernels().mla_combine(
            run.stream(), {k2::kMla, row, partials.as<float>(), extrema.as<float>(), 1, n_splits,
                           dst.as<bf16_t>()});
    });
    const double rate = cache_bytes / (time.median_us * 1e-6);
    run.report().add({fmt::format("MLA decode, 1 row, {} k of context", n_tokens / 1024), time,
                      fmt::format("{:.2f} TB/s", rate * 1e-12),
                      rate / run.report().copy_bytes_per_s, 0.60, 0.80});
}

struct PrefillMemory {
    BenchMemory q;
    BenchMemory kv;
    BenchMemory rope_key;
    BenchMemory sums;
    BenchMemory extrema;
    BenchMemory dst;
};

constexpr int kPromptTokens = 8192;
constexpr int kChunkTokens = 2048;
constexpr int kSlabTokens = 4096;

// The prompt in chunks, each over slabs of what it sees, as the device does it.
void queue_prefill(BenchRun& run, const PrefillMemory& memory) {
    for (int first = 0; first < kPromptTokens; first += kChunkTokens) {
        const int seen = first + kChunkTokens;
        for (int token = 0; token < seen; token += kSlabTokens) {
            const int n = std::min(kSlabTokens, seen - token);
            run.kernels().mla_prefill(
                run.stream(),
                {k2::kMla, memory.q.as<bf16_t>(),
                 memory.kv.as<bf16_t>() + static_cast<std::size_t>(token) * 64 * 256,
                 memory.rope_key.as<bf16_t>() + static_cast<std::size_t>(token) * 64, kScale,
                 kChunkTokens, first, token, n, token == 0, token + n == seen,
                 memory.sums.as<float>(), memory.extrema.as<float>(), memory.dst.as<bf16_t>()});
        }
    }
}

}  // namespace

void bench_decode_attention(BenchRun& run) {
    if (run.kernels().mla_decode == nullptr || run.kernels().mla_combine == nullptr)
        return run.report().skip("MLA decode: the kernel is not there yet");
    for (const int n_tokens : {8192, 32768, 131072})
        bench_context(run, n_tokens);
}

void bench_prefill_attention(BenchRun& run) {
    if (run.kernels().mla_prefill == nullptr)
        return run.report().skip("prefill attention: the kernel is not there yet");
    const std::size_t row_heads = std::size_t{kChunkTokens} * 64;
    const PrefillMemory memory{run.random_bf16(row_heads * 192),
                               run.random_bf16(std::size_t{kPromptTokens} * 64 * 256),
                               run.random_bf16(std::size_t{kPromptTokens} * 64),
                               run.zeros(row_heads * 128 * sizeof(float)),
                               run.zeros(row_heads * 2 * sizeof(float)),
                               run.zeros(row_heads * 128 * sizeof(bf16_t))};
    const Spread time = run.time_calls(1, [&](int /*i*/) { queue_prefill(run, memory); });
    // Scores of 192 products and values of 128 for every pair of a token and one it sees.
    const double pairs = 0.5 * kPromptTokens * (kPromptTokens + 1.0);
    const double rate = 64 * pairs * 2 * (192 + 128) / (time.median_us * 1e-6);
    Line line{"prefill attention, 8 k tokens",
              time,
              fmt::format("{:.1f} TFLOPS", rate * 1e-12),
              {},
              0.35,
              0.60};
    if (run.report().matrix_flops <= 0)
        return run.report().skip("prefill attention: no bf16 rate to compare with");
    line.share = rate / run.report().matrix_flops;
    run.report().add(std::move(line));
}

}  // namespace baltoro::gpu_check
