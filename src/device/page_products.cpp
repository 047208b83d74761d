#include "device/page_products.h"

#include <omp.h>

#include <oneapi/dnnl/dnnl.hpp>

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

    void run(dnnl::stream& stream, const bf16_t* a, const bf16_t* b, float* c) {
        a_.set_data_handle(const_cast<bf16_t*>(a));
        b_.set_data_handle(const_cast<bf16_t*>(b));
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
    State(const MlaShapes& shapes, bool may_use_amx)
        : engine(cpu_engine(may_use_amx)),
          stream(engine),
          scores(
              engine,
              matrix(
                  kQueries, shapes.latent_dim(), memory::data_type::bf16, shapes.latent_dim(), 1),
              matrix(shapes.latent_dim(),
                     kPageTokens,
                     memory::data_type::bf16,
                     1,
                     shapes.latent_dim()),
              matrix(kQueries, kPageTokens, memory::data_type::f32, kPageTokens, 1),
              false),
          context(
              engine,
              matrix(kQueries, kPageTokens, memory::data_type::bf16, kPageTokens, 1),
              matrix(kPageTokens,
                     shapes.kv_lora_rank,
                     memory::data_type::bf16,
                     shapes.latent_dim(),
                     1),
              matrix(kQueries, shapes.kv_lora_rank, memory::data_type::f32, shapes.kv_lora_rank, 1),
              true) {}

    dnnl::engine engine;
    dnnl::stream stream;
    Matmul scores;
    Matmul context;
};

// The team's workers are the parallelism; each keeps oneDNN's own on itself.
PageProducts::PageProducts(const MlaShapes& shapes, bool may_use_amx) {
    omp_set_num_threads(1);
    state_ = std::make_unique<State>(shapes, may_use_amx);
}

PageProducts::~PageProducts() = default;

void PageProducts::scores(const bf16_t* queries, const bf16_t* page, float* scores) {
    state_->scores.run(state_->stream, queries, page, scores);
}

void PageProducts::add_context(const bf16_t* probabilities, const bf16_t* page, float* context) {
    state_->context.run(state_->stream, probabilities, page, context);
}

}  // namespace baltoro::device
