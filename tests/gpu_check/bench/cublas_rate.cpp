// The rate of bf16 products, by cuBLASLt.

#include <cublasLt.h>
#include <fmt/format.h>

#include "base/error.h"
#include "tests/gpu_check/bench/bench_run.h"

namespace baltoro::gpu_check {
namespace {

constexpr int kSize = 8192;
constexpr std::size_t kWorkspaceBytes = std::size_t{64} << 20;

void require(cublasStatus_t status, const char* what) {
    if (status != CUBLAS_STATUS_SUCCESS)
        throw Error(std::string("cuBLASLt, ") + what + ": " + cublasLtGetStatusName(status));
}

// dst = a^T b with all of them [kSize, kSize]: bf16 in and out, sums in f32.
class SquareProduct {
  public:
    SquareProduct() {
        require(cublasLtCreate(&handle_), "start");
        require(cublasLtMatmulDescCreate(&product_, CUBLAS_COMPUTE_32F, CUDA_R_32F), "product");
        const cublasOperation_t transposed = CUBLAS_OP_T;
        require(cublasLtMatmulDescSetAttribute(product_, CUBLASLT_MATMUL_DESC_TRANSA, &transposed,
                                               sizeof transposed),
                "transposition");
        require(cublasLtMatrixLayoutCreate(&layout_, CUDA_R_16BF, kSize, kSize, kSize), "layout");
        require(cublasLtMatmulPreferenceCreate(&preference_), "preference");
        const std::size_t workspace = kWorkspaceBytes;
        require(cublasLtMatmulPreferenceSetAttribute(preference_,
                                                     CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                                                     &workspace, sizeof workspace),
                "workspace");
        int n_found = 0;
        require(cublasLtMatmulAlgoGetHeuristic(handle_, product_, layout_, layout_, layout_,
                                               layout_, preference_, 1, &choice_, &n_found),
                "choice");
        if (n_found == 0) throw Error("cuBLASLt has no way to multiply bf16 matrices");
    }
    ~SquareProduct() {
        cublasLtMatmulPreferenceDestroy(preference_);
        cublasLtMatrixLayoutDestroy(layout_);
        cublasLtMatmulDescDestroy(product_);
        cublasLtDestroy(handle_);
    }
    SquareProduct(const SquareProduct&) = delete;
    SquareProduct& operator=(const SquareProduct&) = delete;

    void queue(
        cudaStream_t stream, const void* a, const void* b, void* dst, void* workspace) const {
        const float one = 1.0f;
        const float zero = 0.0f;
        require(cublasLtMatmul(handle_, product_, &one, a, layout_, b, layout_, &zero, dst, layout_,
                               dst, layout_, &choice_.algo, workspace, kWorkspaceBytes, stream),
                "product");
    }

  private:
    cublasLtHandle_t handle_ = nullptr;
    cublasLtMatmulDesc_t product_ = nullptr;
    cublasLtMatrixLayout_t layout_ = nullptr;
    cublasLtMatmulPreference_t preference_ = nullptr;
    cublasLtMatmulHeuristicResult_t choice_{};
};

}  // namespace

void bench_matrix_rate(BenchRun& run) {
    constexpr std::size_t kElements = std::size_t{kSize} * kSize;
    const BenchMemory a = run.random_bf16(kElements);
    const BenchMemory b = run.random_bf16(kElements);
    const BenchMemory dst = run.zeros(kElements * sizeof(bf16_t));
    const BenchMemory workspace = run.zeros(kWorkspaceBytes);
    const SquareProduct product;
    // Its kernels are loaded outside the capture.
    product.queue(run.cuda_stream(), a.as<void>(), b.as<void>(), dst.as<void>(),
                  workspace.as<void>());
    const Spread time = run.time_calls(4, [&](int /*i*/) {
        product.queue(run.cuda_stream(), a.as<void>(), b.as<void>(), dst.as<void>(),
                      workspace.as<void>());
    });
    const double rate = 2.0 * kElements * kSize / (time.median_us * 1e-6);
    run.report().matrix_flops = rate;
    run.report().matrix_source = "cuBLASLt, 8192 x 8192 x 8192";
    run.report().add({"bf16 product 8192^3, cuBLASLt",
                      time,
                      fmt::format("{:.1f} TFLOPS", rate * 1e-12),
                      {},
                      {},
                      {}});
}

}  // namespace baltoro::gpu_check
