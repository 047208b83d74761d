#include "tests/cuda_runtime/memory_map.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <iterator>
#include <utility>

#include "base/check.h"

namespace baltoro::cuda_stand_in {
namespace {

constexpr std::size_t kPageBytes = 4096;
constexpr std::size_t kAlignment = 256;  // of cudaMalloc
constexpr int kPoison = 0xcd;

std::size_t round_up(std::size_t n, std::size_t unit) {
    return (n + unit - 1) / unit * unit;
}

}  // namespace

MemoryMap::~MemoryMap() {
    for (const auto& [begin, region] : regions_)
        munmap(region.mapping, region.mapped_bytes + kPageBytes);
}

void* MemoryMap::add(std::size_t size_bytes, Place place, int card) {
    const std::size_t mapped_bytes = round_up(size_bytes, kPageBytes);
    void* mapping = mmap(nullptr, mapped_bytes + kPageBytes, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    check(mapping != MAP_FAILED, "the test has address space");
    auto* bytes = static_cast<std::byte*>(mapping);
    mprotect(bytes + mapped_bytes, kPageBytes, PROT_NONE);
    std::byte* data = bytes + mapped_bytes - round_up(size_bytes, kAlignment);
    std::memset(data, kPoison,
                place == Place::device ? size_bytes : std::min(size_bytes, std::size_t{1} << 20));
    const std::lock_guard lock(mutex_);
    regions_[reinterpret_cast<std::uintptr_t>(data)] = {bytes, mapped_bytes, size_bytes,
                                                        place, card,         false};
    if (place == Place::device && !is_reachable_[card]) mprotect(bytes, mapped_bytes, PROT_NONE);
    return data;
}

bool MemoryMap::remove(void* data, Place place) {
    const std::lock_guard lock(mutex_);
    const auto found = regions_.find(reinterpret_cast<std::uintptr_t>(data));
    if (found == regions_.end()) return false;
    Region& region = found->second;
    if (region.is_removed || region.place != place) return false;
    region.is_removed = true;
    mprotect(region.mapping, region.mapped_bytes, PROT_NONE);
    madvise(region.mapping, region.mapped_bytes, MADV_DONTNEED);
    return true;
}

Range MemoryMap::find(const void* data, std::size_t size_bytes) const {
    const auto begin = reinterpret_cast<std::uintptr_t>(data);
    const std::uintptr_t end = begin + size_bytes;
    const std::lock_guard lock(mutex_);
    const auto next = regions_.upper_bound(begin);
    if (next != regions_.begin()) {
        const auto& [first, region] = *std::prev(next);
        if (begin < first + region.size_bytes)
            return {region.place, region.card,
                    region.is_removed || end > first + region.size_bytes};
    }
    if (next != regions_.end() && end > next->first) return {Place::pageable, 0, true};
    return {};
}

void MemoryMap::set_reachable(int card, bool is_reachable) {
    const std::lock_guard lock(mutex_);
    if (std::exchange(is_reachable_[card], is_reachable) == is_reachable) return;
    for (const auto& [begin, region] : regions_)
        if (region.place == Place::device && region.card == card && !region.is_removed)
            mprotect(region.mapping, region.mapped_bytes,
                     is_reachable ? PROT_READ | PROT_WRITE : PROT_NONE);
}

std::size_t MemoryMap::used_bytes(int card) const {
    const std::lock_guard lock(mutex_);
    std::size_t sum = 0;
    for (const auto& [begin, region] : regions_)
        if (region.place == Place::device && region.card == card && !region.is_removed)
            sum += region.size_bytes;
    return sum;
}

std::size_t MemoryMap::count(Place place) const {
    const std::lock_guard lock(mutex_);
    return static_cast<std::size_t>(
        std::count_if(regions_.begin(), regions_.end(), [place](const auto& entry) {
            return entry.second.place == place && !entry.second.is_removed;
        }));
}

}  // namespace baltoro::cuda_stand_in
