#include "device/cublas_products.h"

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <vector>

#include <cublasLt.h>

#include "base/check.h"
#include "base/error.h"
#include "device/cuda_call.h"

namespace baltoro::device {
namespace {

// Rows that an algorithm is chosen for: those of a chunk of prefill.
constexpr int kTypicalRows = 512;
// It must take all of these, and so presumably those between.
constexpr int kRowsToTake[] = {1, 2, 3, 8, 17, 64, 100, 129, 256, 512, 1000, 2048, 4096};
constexpr int kMostCandidates = 16;
// Rows of activations and results begin at multiples of this.
constexpr std::uint32_t kAlignment = 16;

void require_cublas(cublasStatus_t status, const char* what) {
    if (status != CUBLAS_STATUS_SUCCESS)
        throw Error(std::string("cuBLASLt, ") + what + ": " + cublasLtGetStatusName(status));
}

// The matrices of a product as cuBLASLt sees them, column-major: dst^T [n, n_rows] = w x^T.
struct Layouts {
    Layouts(int n, int k, int n_rows, bool is_bf16) {
        require_cublas(cublasLtMatrixLayoutInit(&w, CUDA_R_16BF, k, n, k), "layout");
        require_cublas(cublasLtMatrixLayoutInit(&x, CUDA_R_16BF, k, n_rows, k), "layout");
        require_cublas(
            cublasLtMatrixLayoutInit(&dst, is_bf16 ? CUDA_R_16BF : CUDA_R_32F, n, n_rows, n),
            "layout");
    }
    cublasLtMatrixLayoutOpaque_t w;
    cublasLtMatrixLayoutOpaque_t x;
    cublasLtMatrixLayoutOpaque_t dst;
};

// How weights of one shape are multiplied with results of one type; not at all by cuBLASLt where it
// has no algorithm that takes every number of rows.
struct Plan {
    int n;
    int k;
    bool is_bf16;
    std::optional<cublasLtMatmulAlgo_t> algorithm;
};

// Device memory, zero-filled.
class Scratch {
  public:
    explicit Scratch(std::size_t size_bytes) {
        require_cuda(cudaMalloc(&data_, size_bytes), "memory to prepare cuBLASLt");
        const cudaError_t status = cudaMemset(data_, 0, size_bytes);
        if (status != cudaSuccess) cudaFree(data_);
        require_cuda(status, "memory to prepare cuBLASLt");
    }
    ~Scratch() { cudaFree(data_); }
    Scratch(const Scratch&) = delete;
    Scratch& operator=(const Scratch&) = delete;

    template <typename T>
    T* as() const noexcept {
        return static_cast<T*>(data_);
    }

  private:
    void* data_ = nullptr;
};

}  // namespace

struct CublasProducts::State {
    State() {
        require_cublas(cublasLtCreate(&handle), "start");
        require_cublas(cublasLtMatmulDescInit(&product, CUBLAS_COMPUTE_32F, CUDA_R_32F), "product");
        const cublasOperation_t transposed = CUBLAS_OP_T;
        require_cublas(cublasLtMatmulDescSetAttribute(&product, CUBLASLT_MATMUL_DESC_TRANSA,
                                                      &transposed, sizeof transposed),
                       "transposition");
        require_cublas(cublasLtMatmulPreferenceInit(&preference), "preference");
        // Sums split over k would be added in an order of their own; no workspace is needed then.
        prefer(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
               static_cast<std::uint32_t>(CUBLASLT_REDUCTION_SCHEME_NONE));
        prefer(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, std::uint64_t{0});
        for (const auto attribute : {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES,
                                     CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
                                     CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES,
                                     CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES})
            prefer(attribute, kAlignment);
    }
    ~State() { cublasLtDestroy(handle); }
    State(const State&) = delete;
    State& operator=(const State&) = delete;

    template <typename T>
    void prefer(cublasLtMatmulPreferenceAttributes_t attribute, T value) {
        require_cublas(
            cublasLtMatmulPreferenceSetAttribute(&preference, attribute, &value, sizeof value),
            "preference");
    }

    const Plan* find(int n, int k, bool is_bf16) const noexcept {
        const auto plan = std::find_if(plans.begin(), plans.end(), [&](const Plan& p) {
            return p.n == n && p.k == k && p.is_bf16 == is_bf16;
        });
        return plan == plans.end() ? nullptr : &*plan;
    }
    std::optional<cublasLtMatmulAlgo_t> choose(int n, int k, bool is_bf16);
    bool takes_any_rows(const Plan& plan, const cublasLtMatmulAlgo_t& algorithm);

    cublasLtHandle_t handle = nullptr;
    cublasLtMatmulDescOpaque_t product;
    cublasLtMatmulPreferenceOpaque_t preference;
    std::vector<Plan> plans;
};

// The best for a typical chunk that takes any other number of rows as well.
std::optional<cublasLtMatmulAlgo_t> CublasProducts::State::choose(int n, int k, bool is_bf16) {
    Layouts typical(n, k, kTypicalRows, is_bf16);
    std::array<cublasLtMatmulHeuristicResult_t, kMostCandidates> candidates;
    int n_found = 0;
    const cublasStatus_t status = cublasLtMatmulAlgoGetHeuristic(
        handle, &product, &typical.w, &typical.x, &typical.dst, &typical.dst, &preference,
        kMostCandidates, candidates.data(), &n_found);
    if (status == CUBLAS_STATUS_NOT_SUPPORTED) return std::nullopt;
    require_cublas(status, "choice");
    for (int i = 0; i < n_found; i++) {
        const cublasLtMatmulHeuristicResult_t& candidate = candidates[static_cast<std::size_t>(i)];
        if (candidate.state != CUBLAS_STATUS_SUCCESS) continue;
        if (takes_any_rows({n, k, is_bf16, {}}, candidate.algo)) return candidate.algo;
    }
    return std::nullopt;
}

bool CublasProducts::State::takes_any_rows(const Plan& plan,
                                           const cublasLtMatmulAlgo_t& algorithm) {
    return std::all_of(std::begin(kRowsToTake), std::end(kRowsToTake), [&](int n_rows) {
        Layouts layouts(plan.n, plan.k, n_rows, plan.is_bf16);
        cublasLtMatmulHeuristicResult_t result{};
        return cublasLtMatmulAlgoCheck(handle, &product, &layouts.w, &layouts.x, &layouts.dst,
                                       &layouts.dst, &algorithm,
                                       &result) == CUBLAS_STATUS_SUCCESS &&
               result.workspaceSize == 0;
    });
}

CublasProducts::CublasProducts() : state_(std::make_unique<State>()) {}
CublasProducts::~CublasProducts() = default;

bool CublasProducts::knows(int n, int k) const noexcept {
    return state_->find(n, k, false) != nullptr;
}

void CublasProducts::prepare(const bf16_t* w, int n, int k, cudaStream_t stream) {
    // Their rows of results or of activations would not be aligned.
    const bool is_aligned = n % 8 == 0 && k % 8 == 0;
    for (const bool is_bf16 : {false, true})
        state_->plans.push_back(
            {n, k, is_bf16, is_aligned ? state_->choose(n, k, is_bf16) : std::nullopt});
    const Scratch x(static_cast<std::size_t>(k) * sizeof(bf16_t));
    const Scratch dst(static_cast<std::size_t>(n) * sizeof(float));
    const gpu::PanelProduct ways[] = {
        {w, x.as<bf16_t>(), n, k, 1, dst.as<float>(), nullptr, false},
        {w, x.as<bf16_t>(), n, k, 1, dst.as<float>(), nullptr, true},
        {w, x.as<bf16_t>(), n, k, 1, nullptr, dst.as<bf16_t>(), false}};
    for (const gpu::PanelProduct& way : ways)
        if (takes(way)) queue(way, stream);
    require_cuda(cudaStreamSynchronize(stream), "cuBLASLt");
}

bool CublasProducts::takes(const gpu::PanelProduct& args) const noexcept {
    const Plan* plan = state_->find(args.n, args.k, args.dst_bf16 != nullptr);
    return plan != nullptr && plan->algorithm.has_value();
}

void CublasProducts::queue(const gpu::PanelProduct& args, cudaStream_t stream) {
    if (args.n_rows == 0) return;
    const bool is_bf16 = args.dst_bf16 != nullptr;
    const Plan* plan = state_->find(args.n, args.k, is_bf16);
    check(plan != nullptr && plan->algorithm.has_value(), "cuBLASLt takes the product");
    Layouts layouts(args.n, args.k, args.n_rows, is_bf16);
    void* dst = is_bf16 ? static_cast<void*>(args.dst_bf16) : args.dst;
    const float one = 1.0f;
    const float before = args.accumulate ? 1.0f : 0.0f;
    require_cublas(cublasLtMatmul(state_->handle, &state_->product, &one, args.w, &layouts.w,
                                  args.x, &layouts.x, &before, dst, &layouts.dst, dst, &layouts.dst,
                                  &*plan->algorithm, nullptr, 0, stream),
                   "product");
}

}  // namespace baltoro::device
