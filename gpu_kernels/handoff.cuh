#pragma once

#include "gpu_kernels/kernels.h"
#include "gpu_kernels/simt/simt.h"

namespace baltoro::gpu {
namespace {

// Grid and block: one thread.
__global__ void signal_host(SignalHost args) {
    const uint32_t n = *args.flags.n_signals + 1;
    *args.flags.n_signals = n;
    simt::store_release_system(args.flags.reached, n);
}

// Grid and block: one thread. Later launches of the stream start when it returns.
__global__ void await_host(AwaitHost args) {
    const uint32_t n = *args.flags.n_waits + 1;
    *args.flags.n_waits = n;
    // Counters may wrap: what counts is how far apart they are.
    while (static_cast<int32_t>(simt::load_acquire_system(args.flags.done) - n) < 0)
        simt::spin_pause();
}

void launch_signal_host(simt::Stream* stream, const SignalHost& args) {
    simt::launch<simt::NoShared>(stream, {{1}, {1}}, signal_host, args);
}

void launch_await_host(simt::Stream* stream, const AwaitHost& args) {
    simt::launch<simt::NoShared>(stream, {{1}, {1}}, await_host, args);
}

}  // namespace
}  // namespace baltoro::gpu
