#pragma once

#include <memory>

#include <cuda_runtime.h>

#include "gpu_kernels/kernels.h"

namespace baltoro::device {

// gpu::PanelProduct by cuBLASLt, for shapes of weights that it takes; where the library is not
// linked it takes none. One algorithm is chosen for a shape, whatever the number of rows: without
// split sums, so that the order in which a row is summed follows from the algorithm's tiles alone.
// NVIDIA promises equal bits for equal calls only; that rows of calls with other numbers of rows
// have equal bits too is checked by gpu_check on the GPU at hand. Engine thread only; the device
// must be current.
class CublasProducts {
  public:
    CublasProducts();
    ~CublasProducts();
    CublasProducts(const CublasProducts&) = delete;
    CublasProducts& operator=(const CublasProducts&) = delete;

    // Whether prepare() has seen the shape.
    bool knows(int n, int k) const noexcept;
    // Chooses the algorithms for weights [n, k] and runs each once with `w`, a weight of that
    // shape, so that their code is loaded. Waits for the stream. Throws Error.
    void prepare(const bf16_t* w, int n, int k, cudaStream_t stream);

    bool takes(const gpu::PanelProduct& args) const noexcept;
    // Precondition: takes(). Throws Error.
    void queue(const gpu::PanelProduct& args, cudaStream_t stream);

  private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace baltoro::device
