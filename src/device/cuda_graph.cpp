#include "device/cuda_graph.h"

#include <utility>

#include "device/cuda_call.h"

namespace baltoro::device {
namespace {

class CudaGraph final : public GpuGraph {
  public:
    CudaGraph(cudaGraphExec_t executable, cudaStream_t stream, int gpu_idx, std::string name)
        : executable_(executable), stream_(stream), gpu_idx_(gpu_idx), name_(std::move(name)) {}
    // The driver does not promise that an executable may end while it runs.
    ~CudaGraph() override {
        cudaSetDevice(gpu_idx_);
        cudaStreamSynchronize(stream_);
        cudaGraphExecDestroy(executable_);
        cudaGetLastError();  // whoever waits for the stream hears of its failure
    }
    CudaGraph(const CudaGraph&) = delete;
    CudaGraph& operator=(const CudaGraph&) = delete;

    void replay() override {
        cudaSetDevice(gpu_idx_);
        require_cuda(cudaGraphLaunch(executable_, stream_), name_ + ": a recorded step");
    }

  private:
    cudaGraphExec_t executable_;
    cudaStream_t stream_;
    int gpu_idx_;
    std::string name_;
};

}  // namespace

std::unique_ptr<GpuGraph> end_cuda_capture(cudaStream_t stream,
                                           int gpu_idx,
                                           const std::string& name) {
    cudaGraph_t graph = nullptr;
    cudaGraphExec_t executable = nullptr;
    cudaError_t status = cudaStreamEndCapture(stream, &graph);
    if (status == cudaSuccess) status = cudaGraphInstantiate(&executable, graph, 0);
    if (graph != nullptr) cudaGraphDestroy(graph);
    require_cuda(status, name + ": a step cannot be recorded (--gpu-graphs 0 does without)");
    return std::make_unique<CudaGraph>(executable, stream, gpu_idx, name);
}

}  // namespace baltoro::device
