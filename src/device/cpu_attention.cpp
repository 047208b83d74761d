#include "device/cpu_attention.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "device/kernel_weight.h"

namespace baltoro::device {
namespace {

// Rotates pairs of x (f32 [dim]) by the angles of one row into dst (bf16).
void rotate(const float* x, const float* rope, int dim, bf16_t* dst) noexcept {
    for (int i = 0; i < dim; i += 2) {
        const float cosine = rope[i];
        const float sine = rope[i + 1];
        dst[i] = bf16_from_float(x[i] * cosine - x[i + 1] * sine);
        dst[i + 1] = bf16_from_float(x[i + 1] * cosine + x[i] * sine);
    }
}

PageProducts::Operands operands_of(kernels::IsaLevel level) noexcept {
    using Operands = PageProducts::Operands;
    if (level < kernels::IsaLevel::avx512_bf16) return Operands::f32;
    return level < kernels::IsaLevel::amx ? Operands::bf16 : Operands::bf16_amx;
}

int total_rows(std::span<const SequenceRows> sequences) noexcept {
    return sequences.empty() ? 0 : sequences.back().first_row + sequences.back().n_rows;
}

}  // namespace

CpuAttention::CpuAttention(numa::Team& team, kernels::IsaLevel level)
    : team_(team),
      kernels_(kernels::table_for(level)),
      has_wide_path_(level > kernels::IsaLevel::scalar),
      workers_(static_cast<std::size_t>(team.size())) {
    for (int i = 0; i < team.size(); i++)
        wide_.emplace_back(kernels_, operands_of(level));
}

void CpuAttention::write_latent(const WriteLatent& args) {
    const int dim = args.shapes.latent_dim();
    const int rank = args.shapes.kv_lora_rank;
    const int rope_dim = args.shapes.qk_rope_head_dim;
    team_.run([&](int worker_idx) {
        for (const SequenceRows& sequence : args.sequences) {
            const numa::Share rows = numa::share_of(sequence.n_rows, 1, worker_idx, team_.size());
            for (int r = rows.begin; r < rows.end; r++) {
                const int position = sequence.first_position + r;
                const std::ptrdiff_t row = sequence.first_row + r;
                const std::ptrdiff_t page =
                    sequence.page_table[static_cast<std::size_t>(position / kPageTokens)];
                bf16_t* slot = args.pages + (page * kPageTokens + position % kPageTokens) * dim;
                const float* kv = args.kv + row * dim;
                kernels_.rms_norm(
                    {kv, dim, args.gain, static_cast<float>(args.eps), 1, rank, nullptr, slot});
                rotate(kv + rank, args.rope + row * rope_dim, rope_dim, slot + rank);
            }
        }
    });
}

void CpuAttention::attend(const Attend& args, StepKind kind) {
    const auto n_queries = static_cast<std::size_t>(total_rows(args.sequences)) *
                           static_cast<std::size_t>(args.shapes.n_heads);
    queries_.get<bf16_t>((n_queries + WideAttention::kQueries) *
                         static_cast<std::size_t>(args.shapes.latent_dim()));
    contexts_.get<bf16_t>(n_queries * static_cast<std::size_t>(args.shapes.kv_lora_rank));
    list_blocks(args, kind);
    const int rank = args.shapes.kv_lora_rank;
    // With fewer blocks than two per worker, the splits of a block go to different workers.
    split_over_team_ = static_cast<int>(blocks_.size()) < 2 * team_.size() &&
                       n_partials_ > static_cast<int>(blocks_.size());
    float* partials = nullptr;
    if (split_over_team_)
        partials =
            partials_.get<float>(static_cast<std::size_t>(n_partials_) * partial_floats(rank));

    team_.run([&](int worker_idx) {
        absorb_queries(args, worker_idx);
        team_.barrier();
        if (split_over_team_) {
            WorkerScratch& scratch = workers_[static_cast<std::size_t>(worker_idx)];
            for (const QueryBlock& block : blocks_)
                for (int s = 0; s < block.n_splits; s++)
                    if (!block.is_wide && (block.first_partial + s) % team_.size() == worker_idx)
                        attend_split(args, block, s,
                                     partial_at(partials, block.first_partial + s, rank), scratch);
            team_.barrier();
        }
        for (std::size_t b = static_cast<std::size_t>(worker_idx); b < blocks_.size();
             b += static_cast<std::size_t>(team_.size()))
            attend_block(args, blocks_[b], worker_idx);
        team_.barrier();
        project_values(args, worker_idx);
    });
}

// Whole blocks share what is read of the cache; a few short contexts need smaller ones for every
// worker to have some. A query's bits do not depend on those beside it.
int CpuAttention::queries_of_block(const Attend& args) const {
    constexpr int kFewest = 4;
    int n_jobs = 0;
    for (const SequenceRows& sequence : args.sequences) {
        const int n_queries = sequence.n_rows * args.shapes.n_heads;
        n_jobs += (n_queries + kQueries - 1) / kQueries *
                  splits_of(sequence.first_position + sequence.n_rows - 1);
    }
    int size = kQueries;
    for (; size > kFewest && n_jobs < 2 * team_.size(); n_jobs *= 2)
        size /= 2;
    return size;
}

// Cuts the batch into query blocks; their order interleaves long and short contexts over the
// workers.
void CpuAttention::list_blocks(const Attend& args, StepKind kind) {
    blocks_.clear();
    n_partials_ = 0;
    const int n_heads = args.shapes.n_heads;
    const bool is_wide = has_wide_path_ && kind == StepKind::prefill;
    const int size = is_wide ? WideAttention::kQueries : queries_of_block(args);
    for (std::size_t s = 0; s < args.sequences.size(); s++) {
        const SequenceRows& sequence = args.sequences[s];
        const int n_queries = sequence.n_rows * n_heads;
        for (int q = 0; q < n_queries; q += size) {
            const int n = std::min(size, n_queries - q);
            const int last_position = sequence.first_position + (q + n - 1) / n_heads;
            const int n_splits = is_wide ? 1 : splits_of(last_position);
            blocks_.push_back({static_cast<int>(s), sequence.first_row * n_heads + q, n, n_splits,
                               n_partials_, is_wide});
            n_partials_ += n_splits;
        }
    }
}

// q_lat_h = W_UK_h^T q_nope_h and rope(q_pe_h), rounded to bf16, for a share of (head, row block).
void CpuAttention::absorb_queries(const Attend& args, int worker_idx) {
    const MlaShapes& shapes = args.shapes;
    const int n_rows = total_rows(args.sequences);
    const int n_row_blocks = (n_rows + kQueries - 1) / kQueries;
    const int rank = shapes.kv_lora_rank;
    const std::ptrdiff_t q_stride =
        static_cast<std::ptrdiff_t>(shapes.n_heads) * shapes.qk_head_dim();
    float* latent = workers_[static_cast<std::size_t>(worker_idx)].rows.get<float>(
        static_cast<std::size_t>(kQueries * rank));
    bf16_t* queries = queries_.data<bf16_t>();

    const numa::Share jobs =
        numa::share_of(shapes.n_heads * n_row_blocks, 1, worker_idx, team_.size());
    for (int job = jobs.begin; job < jobs.end; job++) {
        const int head = job / n_row_blocks;
        const int first_row = job % n_row_blocks * kQueries;
        const int n = std::min(kQueries, n_rows - first_row);
        const int first_weight_row = head * (shapes.qk_nope_head_dim + shapes.v_head_dim);
        const float* q = args.q + first_row * q_stride +
                         static_cast<std::ptrdiff_t>(head) * shapes.qk_head_dim();
        kernels_.transposed_product({kernel_weight(args.kv_b),
                                     {first_weight_row, first_weight_row + shapes.qk_nope_head_dim},
                                     q,
                                     q_stride,
                                     n,
                                     latent,
                                     rank,
                                     false});
        for (int r = 0; r < n; r++) {
            const std::ptrdiff_t row = first_row + r;
            bf16_t* dst = queries + (row * shapes.n_heads + head) * shapes.latent_dim();
            kernels_.bf16_from_f32(latent + static_cast<std::ptrdiff_t>(r) * rank, dst,
                                   static_cast<std::size_t>(rank));
            rotate(q + r * q_stride + shapes.qk_nope_head_dim,
                   args.rope + row * shapes.qk_rope_head_dim, shapes.qk_rope_head_dim, dst + rank);
        }
    }
}

void CpuAttention::attend_block(const Attend& args, const QueryBlock& block, int worker_idx) {
    const int rank = args.shapes.kv_lora_rank;
    if (block.is_wide) {
        const std::ptrdiff_t first = block.first_query;
        wide_[static_cast<std::size_t>(worker_idx)].attend(
            args, args.sequences[static_cast<std::size_t>(block.sequence_idx)], block.first_query,
            block.n_queries, queries_.data<bf16_t>() + first * args.shapes.latent_dim(),
            contexts_.data<bf16_t>() + first * rank);
        return;
    }
    WorkerScratch& scratch = workers_[static_cast<std::size_t>(worker_idx)];
    float* own = scratch.partials.get<float>(2 * partial_floats(rank));
    const Partial total = partial_at(own, 0, rank);
    std::fill_n(total.context, block.n_queries * rank, 0.0f);
    std::fill_n(total.max, kQueries, -std::numeric_limits<float>::infinity());
    std::fill_n(total.sum, kQueries, 0.0f);
    for (int s = 0; s < block.n_splits; s++) {
        Partial part = partial_at(own, 1, rank);
        if (split_over_team_) {
            part = partial_at(partials_.data<float>(), block.first_partial + s, rank);
        } else {
            attend_split(args, block, s, part, scratch);
        }
        merge(part, total, block.n_queries, rank);
    }
    normalise(args, block, total);
}

void CpuAttention::attend_split(const Attend& args,
                                const QueryBlock& block,
                                int split,
                                const Partial& dst,
                                WorkerScratch& scratch) const {
    const int rank = args.shapes.kv_lora_rank;
    std::fill_n(dst.context, block.n_queries * rank, 0.0f);
    std::fill_n(dst.max, kQueries, -std::numeric_limits<float>::infinity());
    std::fill_n(dst.sum, kQueries, 0.0f);
    const SequenceRows& sequence = args.sequences[static_cast<std::size_t>(block.sequence_idx)];
    const int last_query = block.first_query + block.n_queries - 1;
    const int last_position =
        sequence.first_position + last_query / args.shapes.n_heads - sequence.first_row;
    const int end = std::min((split + 1) * kSplitPages, last_position / kPageTokens + 1);
    for (int page = split * kSplitPages; page < end; page++)
        attend_page(args, block, page, dst, scratch);
}

void CpuAttention::attend_page(const Attend& args,
                               const QueryBlock& block,
                               int page_idx,
                               const Partial& dst,
                               WorkerScratch& scratch) const {
    const MlaShapes& shapes = args.shapes;
    const SequenceRows& sequence = args.sequences[static_cast<std::size_t>(block.sequence_idx)];
    std::array<std::int32_t, kQueries> valid{};
    for (int i = 0; i < block.n_queries; i++) {
        const int row = (block.first_query + i) / shapes.n_heads - sequence.first_row;
        valid[static_cast<std::size_t>(i)] =
            std::clamp(sequence.first_position + row + 1 - page_idx * kPageTokens, 0, kPageTokens);
    }
    const int n_tokens = valid[static_cast<std::size_t>(block.n_queries - 1)];  // positions ascend
    const std::ptrdiff_t page = sequence.page_table[static_cast<std::size_t>(page_idx)];
    const int dim = shapes.latent_dim();
    const int rank = shapes.kv_lora_rank;
    kernels::Weight latent{args.pages + page * kPageTokens * dim,
                           nullptr,
                           n_tokens,
                           dim,
                           dim,
                           kernels::WeightFormat::bf16};
    const bf16_t* queries = queries_.data<bf16_t>();
    float* scores = scratch.scores.get<float>(kQueries * kPageTokens);
    kernels_.rows_product({latent,
                           {0, n_tokens},
                           queries + static_cast<std::ptrdiff_t>(block.first_query) * dim,
                           dim,
                           block.n_queries,
                           scores,
                           kPageTokens,
                           nullptr,
                           nullptr,
                           scratch.kernel.get<std::byte>(kernels_.row_scratch_bytes(dim))});
    std::array<float, kQueries> correction{};
    kernels_.softmax_block({scores, kPageTokens, block.n_queries, n_tokens, valid.data(),
                            args.scale, dst.max, dst.sum, correction.data()});
    for (int i = 0; i < block.n_queries; i++) {
        const float factor = correction[static_cast<std::size_t>(i)];
        if (factor != 1.0f)
            kernels_.scale(factor, dst.context + static_cast<std::ptrdiff_t>(i) * rank,
                           static_cast<std::size_t>(rank));
    }
    latent.k = rank;
    kernels_.transposed_product(
        {latent, {0, n_tokens}, scores, kPageTokens, block.n_queries, dst.context, rank, true});
}

// total = total + part, both unnormalised sums relative to their own maximum.
void CpuAttention::merge(const Partial& part, const Partial& total, int n_queries, int dim) const {
    for (int i = 0; i < n_queries; i++) {
        if (part.sum[i] == 0.0f) continue;
        const float max = std::max(part.max[i], total.max[i]);
        const float part_factor = std::exp(part.max[i] - max);
        const float total_factor = std::exp(total.max[i] - max);
        float* to = total.context + static_cast<std::ptrdiff_t>(i) * dim;
        const float* from = part.context + static_cast<std::ptrdiff_t>(i) * dim;
        for (int j = 0; j < dim; j++)
            to[j] = to[j] * total_factor + from[j] * part_factor;
        total.sum[i] = total.sum[i] * total_factor + part.sum[i] * part_factor;
        total.max[i] = max;
    }
}

void CpuAttention::normalise(const Attend& args, const QueryBlock& block, const Partial& total) {
    const int rank = args.shapes.kv_lora_rank;
    for (int i = 0; i < block.n_queries; i++) {
        float* context = total.context + static_cast<std::ptrdiff_t>(i) * rank;
        kernels_.scale(1.0f / total.sum[i], context, static_cast<std::size_t>(rank));
        kernels_.bf16_from_f32(
            context,
            contexts_.data<bf16_t>() + static_cast<std::ptrdiff_t>(block.first_query + i) * rank,
            static_cast<std::size_t>(rank));
    }
}

// out_h = W_UV_h context_h for a share of (head, row block).
void CpuAttention::project_values(const Attend& args, int worker_idx) {
    const MlaShapes& shapes = args.shapes;
    const int n_rows = total_rows(args.sequences);
    const int n_row_blocks = (n_rows + kQueries - 1) / kQueries;
    const int rank = shapes.kv_lora_rank;
    const int v_dim = shapes.v_head_dim;
    const std::ptrdiff_t x_stride = static_cast<std::ptrdiff_t>(shapes.n_heads) * rank;
    const int n_weight_rows = shapes.n_heads * (shapes.qk_nope_head_dim + v_dim);
    WorkerScratch& scratch = workers_[static_cast<std::size_t>(worker_idx)];
    float* values = scratch.rows.get<float>(static_cast<std::size_t>(kQueries) * n_weight_rows);
    void* kernel_scratch = scratch.kernel.get<std::byte>(kernels_.row_scratch_bytes(rank));
    const numa::Share jobs =
        numa::share_of(shapes.n_heads * n_row_blocks, 1, worker_idx, team_.size());
    for (int job = jobs.begin; job < jobs.end; job++) {
        const int head = job / n_row_blocks;
        const int first_row = job % n_row_blocks * kQueries;
        const int n = std::min(kQueries, n_rows - first_row);
        const int first = head * (shapes.qk_nope_head_dim + v_dim) + shapes.qk_nope_head_dim;
        const bf16_t* x = contexts_.data<bf16_t>() + first_row * x_stride +
                          static_cast<std::ptrdiff_t>(head) * rank;
        kernels_.rows_product({kernel_weight(args.kv_b),
                               {first, first + v_dim},
                               x,
                               x_stride,
                               n,
                               values,
                               n_weight_rows,
                               nullptr,
                               nullptr,
                               kernel_scratch});
        for (int r = 0; r < n; r++) {
            const std::ptrdiff_t query =
                static_cast<std::ptrdiff_t>(first_row + r) * shapes.n_heads + head;
            kernels_.bf16_from_f32(values + static_cast<std::ptrdiff_t>(r) * n_weight_rows + first,
                                   args.dst + query * v_dim, static_cast<std::size_t>(v_dim));
        }
    }
}

std::size_t CpuAttention::partial_floats(int dim) noexcept {
    return static_cast<std::size_t>(kQueries) * static_cast<std::size_t>(dim + 2);
}

CpuAttention::Partial CpuAttention::partial_at(float* base, int idx, int dim) const noexcept {
    float* context = base + static_cast<std::size_t>(idx) * partial_floats(dim);
    float* max = context + static_cast<std::ptrdiff_t>(kQueries) * dim;
    return {context, max, max + kQueries};
}

}  // namespace baltoro::device
