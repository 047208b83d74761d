#include "device/cuda_graph.h"

namespace baltoro::device {
namespace {

class CudaGraph final : public GpuGraph {
  public:
    CudaGraph(cudaGraphExec_t executable, const CudaContext& context)
        : executable_(executable), context_(context) {}
    // The driver does not promise that an executable may end while it runs.
    ~CudaGraph() override {
        context_.activate();
        cudaStreamSynchronize(context_.stream());
        cudaGraphExecDestroy(executable_);
        cudaGetLastError();  // whoever waits for the stream hears of its failure
    }
    CudaGraph(const CudaGraph&) = delete;
    CudaGraph& operator=(const CudaGraph&) = delete;

    void replay() override {
        context_.activate();
        context_.require(cudaGraphLaunch(executable_, context_.stream()), "a recorded step");
    }

  private:
    cudaGraphExec_t executable_;
    const CudaContext& context_;
};

}  // namespace

std::unique_ptr<GpuGraph> end_cuda_capture(const CudaContext& context) {
    cudaGraph_t graph = nullptr;
    cudaGraphExec_t executable = nullptr;
    cudaError_t status = cudaStreamEndCapture(context.stream(), &graph);
    if (status == cudaSuccess) status = cudaGraphInstantiate(&executable, graph, 0);
    if (graph != nullptr) cudaGraphDestroy(graph);
    context.require(status, "a step cannot be recorded (--gpu-graphs 0 does without)");
    return std::make_unique<CudaGraph>(executable, context);
}

}  // namespace baltoro::device
