// Where cuBLASLt is not linked: kernels multiply.

#include "base/check.h"
#include "device/cublas_products.h"

namespace baltoro::device {

struct CublasProducts::State {};

CublasProducts::CublasProducts() = default;
CublasProducts::~CublasProducts() = default;

bool CublasProducts::knows(int /*n*/, int /*k*/) const noexcept {
    return true;
}

void CublasProducts::prepare(const bf16_t* /*w*/, int /*n*/, int /*k*/, cudaStream_t /*stream*/) {}

bool CublasProducts::takes(const gpu::PanelProduct& /*args*/) const noexcept {
    return false;
}

void CublasProducts::queue(const gpu::PanelProduct& /*args*/, cudaStream_t /*stream*/) {
    check(false, "cuBLASLt is linked");
}

}  // namespace baltoro::device
