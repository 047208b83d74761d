#include "tests/gpu_check/watched_kernel.h"

#include "gpu_kernels/simt/simt.h"

namespace baltoro::gpu_check {
namespace {

struct ExchangeShared {
    simt::U32x4 values[64];
};

__global__ void exchange(Exchange args) {
    ExchangeShared& shared = simt::shared<ExchangeShared>();
    const uint32_t thread = threadIdx.x;
    if (args.stores_16_bytes)
        simt::store16(&shared.values[thread], simt::U32x4{thread, 0, 0, 0});
    else
        shared.values[thread].x = thread;
    if (args.has_barrier) __syncthreads();
    args.dst[thread] = args.stores_16_bytes
                           ? simt::load16<simt::U32x4>(&shared.values[63 - thread]).x
                           : shared.values[63 - thread].x;
}

}  // namespace

void launch_exchange(simt::Stream* stream, const Exchange& args) {
    simt::launch<ExchangeShared>(stream, {{1}, {64}}, exchange, args);
}

}  // namespace baltoro::gpu_check
