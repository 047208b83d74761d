#include "device/cuda_platform.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include <cuda_runtime.h>
#include <fmt/format.h>

#include "base/error.h"
#include "device/cublas_products.h"
#include "device/cuda_call.h"
#include "device/cuda_context.h"
#include "device/cuda_diagnosis.h"
#include "device/cuda_graph.h"
#include "device/cuda_kernels.h"
#include "device/cuda_staging.h"

namespace baltoro::device {
namespace {

// Loading a kernel's code may wait for the device to be idle, so it must not happen while the GPU
// spins on a flag of the host: everything is loaded when the context is made. Read by the driver at
// the first call.
void load_kernels_at_start() {
    setenv("CUDA_MODULE_LOADING", "EAGER", 1);
}

// How many GPUs there are; none, with the reason, where CUDA cannot be used.
int count_gpus(std::string& why_none) {
    load_kernels_at_start();
    int n_gpus = 0;
    const cudaError_t status = cudaGetDeviceCount(&n_gpus);
    cudaGetLastError();
    if (status == cudaSuccess && n_gpus > 0) return n_gpus;
    if (status == cudaErrorInsufficientDriver) {
        int driver = 0;
        int runtime = 0;
        cudaDriverGetVersion(&driver);
        cudaRuntimeGetVersion(&runtime);
        why_none = driver_line(driver, runtime);
    } else if (status == cudaSuccess || status == cudaErrorNoDevice) {
        why_none = "no CUDA device was found";
    } else {
        why_none = "CUDA cannot be used: " + cuda_error_text(status);
    }
    return 0;
}

int capability_of(const cudaDeviceProp& properties) {
    return properties.major * 10 + properties.minor;
}

cudaDeviceProp properties_of(int gpu_idx) {
    cudaDeviceProp properties{};
    require_cuda(cudaGetDeviceProperties(&properties, gpu_idx), fmt::format("GPU {}", gpu_idx));
    return properties;
}

std::string gpu_name(int gpu_idx, const cudaDeviceProp& properties) {
    return fmt::format("GPU {} ({})", gpu_idx, properties.name);
}

std::string describe_gpu(const cudaDeviceProp& properties) {
    return fmt::format("{}, {:.0f} GB, sm_{}", properties.name,
                       static_cast<double>(properties.totalGlobalMem) * 1e-9,
                       capability_of(properties));
}

class CudaPlatform final : public GpuPlatform {
  public:
    CudaPlatform(const CudaOptions& options, const cudaDeviceProp& properties)
        : options_(options),
          properties_(properties),
          context_(
              options.gpu_idx, gpu_name(options.gpu_idx, properties), properties.totalGlobalMem),
          staging_(context_) {}
    ~CudaPlatform() override {
        context_.activate();
        cudaStreamSynchronize(context_.stream());
    }

    std::string describe() const override { return describe_gpu(properties_); }
    const gpu::Table& kernels() const override { return guarded_cuda_kernels(); }
    simt::Stream* stream() override {
        context_.activate();
        return reinterpret_cast<simt::Stream*>(context_.stream());
    }

    void panel_product(const gpu::PanelProduct& args) override;
    bool is_prepared(int n, int k) const override { return products_.knows(n, k); }
    void prepare(const bf16_t* w, int n, int k) override;
    void* allocate(std::size_t size_bytes, MemoryKind kind) override;
    void release(void* data, std::size_t size_bytes, MemoryKind kind) noexcept override;
    std::size_t free_bytes() const override;
    void copy_to_device(void* dst, const void* host_src, std::size_t size_bytes) override;
    void copy_within(void* dst, const void* src, std::size_t size_bytes) override;
    void copy_to_host(void* host_dst, const void* src, std::size_t size_bytes) override;
    void begin_capture() override;
    std::unique_ptr<GpuGraph> end_capture() override;
    void wait() override;
    void check_failure() override;

  private:
    void* allocate_shared(std::size_t size_bytes);
    [[noreturn]] void report_shortage(std::size_t wanted_bytes);

    CudaOptions options_;
    cudaDeviceProp properties_;
    std::size_t own_bytes_ = 0;  // of device memory
    CudaContext context_;
    CudaStaging staging_;
    CublasProducts products_;
};

void CudaPlatform::panel_product(const gpu::PanelProduct& args) {
    if (!products_.takes(args)) return kernels().panel_product(stream(), args);
    context_.activate();
    products_.queue(args, context_.stream());
}

void CudaPlatform::prepare(const bf16_t* w, int n, int k) {
    context_.activate();
    products_.prepare(w, n, k, context_.stream());
}

void CudaPlatform::report_shortage(std::size_t wanted_bytes) {
    MemoryShortage shortage{wanted_bytes, 0, 0, own_bytes_, options_.memory_bytes};
    cudaMemGetInfo(&shortage.free_bytes, &shortage.total_bytes);
    throw Error(memory_line(context_.name(), shortage));
}

void* CudaPlatform::allocate(std::size_t size_bytes, MemoryKind kind) {
    context_.activate();
    if (kind == MemoryKind::shared) return allocate_shared(size_bytes);
    if (size_bytes > options_.memory_bytes - own_bytes_) report_shortage(size_bytes);
    void* data = nullptr;
    const cudaError_t status = cudaMalloc(&data, size_bytes);
    if (status == cudaErrorMemoryAllocation) {
        cudaGetLastError();
        report_shortage(size_bytes);
    }
    context_.require(status);
    const cudaError_t cleared = cudaMemsetAsync(data, 0, size_bytes, context_.stream());
    if (cleared != cudaSuccess) cudaFree(data);
    context_.require(cleared);
    own_bytes_ += size_bytes;
    return data;
}

void* CudaPlatform::allocate_shared(std::size_t size_bytes) {
    void* data = nullptr;
    const cudaError_t status =
        cudaHostAlloc(&data, size_bytes, cudaHostAllocMapped | cudaHostAllocPortable);
    context_.require(status, fmt::format("{:.3f} GB of pinned host memory",
                                         static_cast<double>(size_bytes) * 1e-9));
    std::memset(data, 0, size_bytes);
    return data;
}

void CudaPlatform::release(void* data, std::size_t size_bytes, MemoryKind kind) noexcept {
    context_.activate();
    cudaStreamSynchronize(context_.stream());
    if (kind == MemoryKind::shared) {
        cudaFreeHost(data);
    } else {
        cudaFree(data);
        own_bytes_ -= size_bytes;
    }
    cudaGetLastError();  // whoever waits for the stream hears of its failure
}

std::size_t CudaPlatform::free_bytes() const {
    context_.activate();
    std::size_t free = 0;
    std::size_t total = 0;
    context_.require(cudaMemGetInfo(&free, &total));
    return std::min(free, options_.memory_bytes - own_bytes_);
}

void CudaPlatform::copy_to_device(void* dst, const void* host_src, std::size_t size_bytes) {
    context_.activate();
    staging_.copy(dst, host_src, size_bytes);
}

void CudaPlatform::copy_within(void* dst, const void* src, std::size_t size_bytes) {
    context_.activate();
    context_.require(cudaMemcpyAsync(dst, src, size_bytes, cudaMemcpyDefault, context_.stream()));
}

void CudaPlatform::copy_to_host(void* host_dst, const void* src, std::size_t size_bytes) {
    context_.activate();
    context_.require(
        cudaMemcpyAsync(host_dst, src, size_bytes, cudaMemcpyDefault, context_.stream()));
    wait();
}

// Other threads may go on using CUDA.
void CudaPlatform::begin_capture() {
    context_.activate();
    context_.require(cudaStreamBeginCapture(context_.stream(), cudaStreamCaptureModeThreadLocal));
}

std::unique_ptr<GpuGraph> CudaPlatform::end_capture() {
    context_.activate();
    return end_cuda_capture(context_);
}

void CudaPlatform::wait() {
    context_.activate();
    context_.require(cudaStreamSynchronize(context_.stream()));
}

void CudaPlatform::check_failure() {
    context_.activate();
    const cudaError_t status = cudaStreamQuery(context_.stream());
    if (status == cudaErrorNotReady)
        cudaGetLastError();  // the runtime remembers it as an error
    else
        context_.require(status);
}

}  // namespace

CudaGpus find_cuda_gpus() {
    CudaGpus gpus;
    const int n_gpus = count_gpus(gpus.why_none);
    for (int i = 0; i < n_gpus; i++) {
        cudaDeviceProp properties{};
        if (cudaGetDeviceProperties(&properties, i) == cudaSuccess)
            gpus.names.push_back(describe_gpu(properties));
        else
            gpus.names.push_back("a GPU that does not answer");
    }
    cudaGetLastError();
    return gpus;
}

std::unique_ptr<GpuPlatform> make_cuda_platform(const CudaOptions& options) {
    std::string why_none;
    const int n_gpus = count_gpus(why_none);
    if (n_gpus == 0) throw Error(why_none);
    if (options.gpu_idx < 0 || options.gpu_idx >= n_gpus)
        throw Error(index_line(options.gpu_idx, n_gpus));
    const cudaDeviceProp properties = properties_of(options.gpu_idx);
    const std::string name = gpu_name(options.gpu_idx, properties);
    if (!is_compiled_for(BALTORO_GPU_ARCHS, capability_of(properties)))
        throw Error(not_compiled_line(name, capability_of(properties), BALTORO_GPU_ARCHS));
    // Shared memory has one address for both sides only then.
    if (properties.unifiedAddressing == 0 || properties.canMapHostMemory == 0)
        throw Error(name + " cannot map host memory at one address");
    return std::make_unique<CudaPlatform>(options, properties);
}

}  // namespace baltoro::device
