// Which cards there are.

#include <cstdio>

#include "tests/cuda_runtime/call.h"

using namespace baltoro::cuda_stand_in;

cudaError_t cudaGetDeviceCount(int* count) {
    *count = 0;
    const State* state = current_state();
    const cudaError_t status = find_driver(state);
    if (status != cudaSuccess) return note(status);
    *count = static_cast<int>(state->machine.cards.size());
    return cudaSuccess;
}

// A macro of the same name in CUDA 12.
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int idx) {
    const State* state = current_state();
    const cudaError_t status = find_driver(state);
    if (status != cudaSuccess) return note(status);
    if (idx < 0 || idx >= static_cast<int>(state->machine.cards.size()))
        return note(cudaErrorInvalidDevice);
    const Card& card = state->machine.cards[static_cast<std::size_t>(idx)];
    *properties = {};
    std::snprintf(properties->name, sizeof properties->name, "%s", card.name.c_str());
    properties->totalGlobalMem = card.total_bytes;
    properties->major = card.capability / 10;
    properties->minor = card.capability % 10;
    properties->unifiedAddressing = card.has_unified_addressing ? 1 : 0;
    properties->canMapHostMemory = 1;
    return cudaSuccess;
}

// Makes the card's context, from CUDA 12 on.
cudaError_t cudaSetDevice(int idx) {
    return serve([&](State& state) {
        if (idx < 0 || idx >= static_cast<int>(state.machine.cards.size()))
            return cudaErrorInvalidDevice;
        thread_state().card = idx;
        return make_context(state);
    });
}

cudaError_t cudaMemGetInfo(std::size_t* free, std::size_t* total) {
    return serve([&](State& state) {
        const cudaError_t status = make_context(state);
        if (status != cudaSuccess) return status;
        const int card = thread_state().card;
        *free = free_bytes(state, card);
        *total = state.machine.cards[static_cast<std::size_t>(card)].total_bytes;
        return cudaSuccess;
    });
}
