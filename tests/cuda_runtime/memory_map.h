#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>

namespace baltoro::cuda_stand_in {

enum class Place : std::uint8_t { pageable, pinned, device };

// What a range of addresses is. `is_broken`: partly of an allocation, or of one that is gone.
struct Range {
    Place place = Place::pageable;
    int card = 0;
    bool is_broken = false;
};

// The memory that a process has from CUDA. Addresses are not given twice, and memory of a card is
// out of the host's reach while the card has nothing to do, so that what the host must not touch
// ends the test. Any thread.
class MemoryMap {
  public:
    MemoryMap() = default;
    ~MemoryMap();
    MemoryMap(const MemoryMap&) = delete;
    MemoryMap& operator=(const MemoryMap&) = delete;

    // Filled with poison, pinned memory its first MiB; the end is followed by a page that cannot be
    // touched.
    void* add(std::size_t size_bytes, Place place, int card);
    // False if there is no such allocation.
    bool remove(void* data, Place place);
    Range find(const void* data, std::size_t size_bytes) const;
    // The memory of a card for the host.
    void set_reachable(int card, bool is_reachable);

    std::size_t used_bytes(int card) const;
    std::size_t count(Place place) const;

  private:
    struct Region {
        std::byte* mapping;
        std::size_t mapped_bytes;  // without the last page
        std::size_t size_bytes;
        Place place;
        int card;
        bool is_removed;
    };

    mutable std::mutex mutex_;
    std::map<std::uintptr_t, Region> regions_;  // by where they begin
    std::map<int, bool> is_reachable_;          // by card
};

}  // namespace baltoro::cuda_stand_in
