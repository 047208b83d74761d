#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "device/device.h"
#include "device/device_scratch.h"
#include "gpu_kernels/kernels.h"

namespace baltoro::device {

// Where a step's rows stand, in device memory: uploaded when a list of sequences is first seen in a
// step and found again in every layer. Two lists may be under way. Engine thread only.
class GpuStepTables {
  public:
    struct Tables {
        const std::int32_t* slots;                    // [n_rows] of gpu::WriteLatent
        const gpu::DecodeRow* rows;                   // [n_rows]
        const std::int32_t* page_tables;              // what `rows` points into
        std::span<const std::int32_t> table_offsets;  // host: per sequence, into page_tables
        int n_rows;
    };

    // Both must outlive the object.
    GpuStepTables(GpuPlatform& platform, const std::function<void()>& drain);

    // Takes the memory of the largest lists.
    void reserve(std::size_t size_bytes);

    // Forgets the lists of the step before. The first list of every step lies where that of the
    // last one lay, unless the memory has grown.
    void begin_step() noexcept;

    Tables of(std::span<const SequenceRows> sequences);

  private:
    struct Entry {
        Entry(GpuPlatform& platform, const std::function<void()>& drain)
            : device_words(platform, drain) {}
        const SequenceRows* key = nullptr;
        std::vector<std::int32_t> words;  // slots, rows, page tables
        std::vector<std::int32_t> table_offsets;
        int n_rows = 0;
        DeviceScratch device_words;
    };

    void fill(Entry& entry, std::span<const SequenceRows> sequences);

    GpuPlatform& platform_;
    Entry entries_[2];
    int next_entry_ = 0;
};

}  // namespace baltoro::device
