#include "device/page_products.h"

#include <omp.h>

#include <oneapi/dnnl/dnnl.hpp>

#include "device/cpu_scratch.h"

namespace baltoro::device {
namespace {

using dnnl::memory;

const dnnl::engine& cpu_engine(bool may_use_amx) {
    // The limit must be set before the first primitive; it holds for the process.
    static const dnnl::engine engine = [&] {
        if (!may_use_amx) dnnl::set_max_cpu_isa(dnnl::cpu_isa::avx512_core_bf16);
        return dnnl::engine(dnnl::engine::kind::cpu, 0);
    }();
    return engine;
}

// One matrix product with fixed shapes whose operands change place.
class Matmul {
  public:
    Matmul(const dnnl::engine& engine,
           const memory::desc& a,
           const memory::desc& b,
           const memory::desc& c,
           bool accumulate)
        : a_(a, engine, DNNL_MEMORY_NONE),
          b_(b, engine, DNNL_MEMORY_NONE),
          c_(c, engine, DNNL_MEMORY_NONE) {
        dnnl::primitive_attr attributes;
        dnnl::post_ops sum;
        if (accumulate) sum.append_sum(1.0f);
        attributes.set_post_ops(sum);
        product_ = dnnl::matmul({{a, b, c}, attributes, engine});
    }

    void run(dnnl::stream& stream, const void* a, const void* b, float* c) {
        a_.set_data_handle(const_cast<void*>(a));
        b_.set_data_handle(const_cast<void*>(b));
        c_.set_data_handle(c);
        product_.execute(stream, {{DNNL_ARG_SRC, a_}, {DNNL_ARG_WEIGHTS, b_}, {DNNL_ARG_DST, c_}});
        stream.wait();
    }

  private:
    memory a_;
    memory b_;
    memory c_;
    dnnl::matmul product_;
};

memory::desc matrix(memory::dim rows,
                    memory::dim columns,
                    memory::data_type type,
                    memory::dim row_stride,
                    memory::dim column_stride) {
    return {{rows, columns}, type, {row_stride, column_stride}};
}

}  // namespace

struct PageProducts::State {
    State(const MlaShapes& mla, const kernels::Table& table, Operands operands)
        : shapes(mla),
          kernels(table),
          is_f32(operands == Operands::f32),
          type(is_f32 ? memory::data_type::f32 : memory::data_type::bf16),
          engine(cpu_engine(operands == Operands::bf16_amx)),
          stream(engine),
          scores(engine,
                 matrix(kQueries, shapes.latent_dim(), type, shapes.latent_dim(), 1),
                 matrix(shapes.latent_dim(), kPageTokens, type, 1, shapes.latent_dim()),
                 matrix(kQueries, kPageTokens, memory::data_type::f32, kPageTokens, 1),
                 false),
          context(
              engine,
              matrix(kQueries, kPageTokens, type, kPageTokens, 1),
              matrix(kPageTokens, shapes.kv_lora_rank, type, shapes.latent_dim(), 1),
              matrix(kQueries, shapes.kv_lora_rank, memory::data_type::f32, shapes.kv_lora_rank, 1),
              true) {}

    // n elements of bf16 as what is multiplied.
    const void* operand(const bf16_t* from, int n, Scratch& widened) const {
        if (!is_f32) return from;
        float* to = widened.get<float>(static_cast<std::size_t>(n));
        kernels.f32_from_bf16(from, to, static_cast<std::size_t>(n));
        return to;
    }

    MlaShapes shapes;
    const kernels::Table& kernels;
    bool is_f32;
    memory::data_type type;
    dnnl::engine engine;
    dnnl::stream stream;
    Matmul scores;
    Matmul context;
    Scratch queries_f32;
    Scratch page_f32;
    Scratch probabilities;  // bf16 [kQueries, kPageTokens]
    const void* queries = nullptr;
    const void* page = nullptr;
};

// The team's workers are the parallelism; each keeps oneDNN's own on itself.
PageProducts::PageProducts(const MlaShapes& shapes,
                           const kernels::Table& kernels,
                           Operands operands) {
    omp_set_num_threads(1);
    state_ = std::make_unique<State>(shapes, kernels, operands);
}

PageProducts::~PageProducts() = default;

void PageProducts::set_queries(const bf16_t* queries) {
    state_->queries =
        state_->operand(queries, kQueries * state_->shapes.latent_dim(), state_->queries_f32);
}

void PageProducts::scores(const bf16_t* page, float* scores) {
    state_->page =
        state_->operand(page, kPageTokens * state_->shapes.latent_dim(), state_->page_f32);
    state_->scores.run(state_->stream, state_->queries, state_->page, scores);
}

void PageProducts::add_context(const float* probabilities, float* context) {
    const void* operand = probabilities;
    if (!state_->is_f32) {
        constexpr std::size_t kElements = std::size_t{kQueries} * kPageTokens;
        bf16_t* rounded = state_->probabilities.get<bf16_t>(kElements);
        state_->kernels.bf16_from_f32(probabilities, rounded, kElements);
        operand = rounded;
    }
    state_->context.run(state_->stream, operand, state_->page, context);
}

}  // namespace baltoro::device
