#include "device/cuda_platform.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include <cuda_runtime.h>
#include <fmt/format.h>

#include "base/error.h"
#include "device/cublas_products.h"
#include "device/cuda_call.h"
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

std::string describe_gpu(const cudaDeviceProp& properties) {
    return fmt::format("{}, {:.0f} GB, sm_{}", properties.name,
                       static_cast<double>(properties.totalGlobalMem) * 1e-9,
                       capability_of(properties));
}

// The stream and what else belongs to the context; its constructor is the first to need memory of
// the GPU.
struct Context {
    explicit Context(const cudaDeviceProp& properties, int gpu_idx, const std::string& name) {
        cudaError_t status = cudaSetDevice(gpu_idx);
        if (status == cudaSuccess)
            status = cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
        if (status == cudaErrorMemoryAllocation) {
            cudaGetLastError();
            throw Error(no_context_line(name, properties.totalGlobalMem));
        }
        if (status == cudaErrorDevicesUnavailable) {
            cudaGetLastError();
            throw Error(name +
                        " is held by another process alone (its compute mode, see "
                        "nvidia-smi)");
        }
        require_cuda(status, name);
    }
    ~Context() { cudaStreamDestroy(stream); }
    Context(const Context&) = delete;
    Context& operator=(const Context&) = delete;

    cudaStream_t stream = nullptr;
};

class CudaPlatform final : public GpuPlatform {
  public:
    CudaPlatform(const CudaOptions& options, const cudaDeviceProp& properties)
        : options_(options),
          properties_(properties),
          name_(fmt::format("GPU {} ({})", options.gpu_idx, properties.name)),
          context_(properties, options.gpu_idx, name_) {}
    ~CudaPlatform() override {
        activate();
        cudaStreamSynchronize(context_.stream);
    }

    std::string describe() const override { return describe_gpu(properties_); }
    const gpu::Table& kernels() const override { return guarded_cuda_kernels(); }
    simt::Stream* stream() override {
        activate();
        return reinterpret_cast<simt::Stream*>(context_.stream);
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
    // The current device belongs to the calling thread, and objects may be made by another than
    // the one that uses them. Costs nothing where it is current already.
    void activate() const noexcept { cudaSetDevice(options_.gpu_idx); }
    void* allocate_shared(std::size_t size_bytes);
    [[noreturn]] void report_shortage(std::size_t wanted_bytes);
    void require_work(cudaError_t status);

    CudaOptions options_;
    cudaDeviceProp properties_;
    std::string name_;
    std::size_t own_bytes_ = 0;  // of device memory
    Context context_;
    CudaStaging staging_;
    CublasProducts products_;
};

void CudaPlatform::panel_product(const gpu::PanelProduct& args) {
    if (!products_.takes(args)) return kernels().panel_product(stream(), args);
    activate();
    products_.queue(args, context_.stream);
}

void CudaPlatform::prepare(const bf16_t* w, int n, int k) {
    activate();
    products_.prepare(w, n, k, context_.stream);
}

void CudaPlatform::report_shortage(std::size_t wanted_bytes) {
    MemoryShortage shortage{wanted_bytes, 0, 0, own_bytes_, options_.memory_bytes};
    cudaMemGetInfo(&shortage.free_bytes, &shortage.total_bytes);
    throw Error(memory_line(name_, shortage));
}

void* CudaPlatform::allocate(std::size_t size_bytes, MemoryKind kind) {
    activate();
    if (kind == MemoryKind::shared) return allocate_shared(size_bytes);
    if (size_bytes > options_.memory_bytes - own_bytes_) report_shortage(size_bytes);
    void* data = nullptr;
    const cudaError_t status = cudaMalloc(&data, size_bytes);
    if (status == cudaErrorMemoryAllocation) {
        cudaGetLastError();
        report_shortage(size_bytes);
    }
    require_cuda(status, name_);
    own_bytes_ += size_bytes;
    require_cuda(cudaMemsetAsync(data, 0, size_bytes, context_.stream), name_);
    return data;
}

void* CudaPlatform::allocate_shared(std::size_t size_bytes) {
    void* data = nullptr;
    require_cuda(cudaHostAlloc(&data, size_bytes, cudaHostAllocMapped | cudaHostAllocPortable),
                 fmt::format("{}: {:.3f} GB of pinned host memory", name_,
                             static_cast<double>(size_bytes) * 1e-9));
    std::memset(data, 0, size_bytes);
    return data;
}

void CudaPlatform::release(void* data, std::size_t size_bytes, MemoryKind kind) noexcept {
    activate();
    cudaStreamSynchronize(context_.stream);
    if (kind == MemoryKind::shared) {
        cudaFreeHost(data);
    } else {
        cudaFree(data);
        own_bytes_ -= size_bytes;
    }
    cudaGetLastError();  // whoever waits for the stream hears of its failure
}

std::size_t CudaPlatform::free_bytes() const {
    activate();
    std::size_t free = 0;
    std::size_t total = 0;
    require_cuda(cudaMemGetInfo(&free, &total), name_);
    return std::min(free, options_.memory_bytes - own_bytes_);
}

void CudaPlatform::copy_to_device(void* dst, const void* host_src, std::size_t size_bytes) {
    activate();
    staging_.copy(dst, host_src, size_bytes, context_.stream);
}

void CudaPlatform::copy_within(void* dst, const void* src, std::size_t size_bytes) {
    activate();
    require_cuda(cudaMemcpyAsync(dst, src, size_bytes, cudaMemcpyDefault, context_.stream), name_);
}

void CudaPlatform::copy_to_host(void* host_dst, const void* src, std::size_t size_bytes) {
    activate();
    require_cuda(cudaMemcpyAsync(host_dst, src, size_bytes, cudaMemcpyDefault, context_.stream),
                 name_);
    wait();
}

// Other threads may go on using CUDA.
void CudaPlatform::begin_capture() {
    activate();
    require_cuda(cudaStreamBeginCapture(context_.stream, cudaStreamCaptureModeThreadLocal), name_);
}

std::unique_ptr<GpuGraph> CudaPlatform::end_capture() {
    activate();
    return end_cuda_capture(context_.stream, options_.gpu_idx, name_);
}

// After a kernel's failure CUDA refuses everything else in the process.
void CudaPlatform::require_work(cudaError_t status) {
    if (status == cudaSuccess) return;
    cudaGetLastError();
    throw Error(fmt::format("{}: its work has failed: {}; start the program again", name_,
                            cuda_error_text(status)));
}

void CudaPlatform::wait() {
    activate();
    require_work(cudaStreamSynchronize(context_.stream));
}

void CudaPlatform::check_failure() {
    activate();
    const cudaError_t status = cudaStreamQuery(context_.stream);
    if (status == cudaErrorNotReady)
        cudaGetLastError();  // the runtime remembers it as an error
    else
        require_work(status);
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
    const std::string name = fmt::format("GPU {} ({})", options.gpu_idx, properties.name);
    if (!is_compiled_for(BALTORO_GPU_ARCHS, capability_of(properties)))
        throw Error(not_compiled_line(name, capability_of(properties), BALTORO_GPU_ARCHS));
    // Shared memory has one address for both sides only then.
    if (properties.unifiedAddressing == 0 || properties.canMapHostMemory == 0)
        throw Error(name + " cannot map host memory at one address");
    return std::make_unique<CudaPlatform>(options, properties);
}

}  // namespace baltoro::device
