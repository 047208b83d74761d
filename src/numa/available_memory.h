#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "numa/topology.h"

namespace baltoro::numa {

// Bytes that this process can still get without swapping, clean page cache included.
struct AvailableMemory {
    std::uint64_t total_bytes = 0;  // the machine's or, if less, the control groups'
    std::vector<std::optional<std::uint64_t>> node_bytes;  // as Topology::nodes; absent = unknown
};

// Asks the kernel. Files are looked up below `root` ("" for this machine; tests pass a folder that
// imitates one). Throws Error if the kernel does not tell the total.
AvailableMemory available_memory(const Topology& topology, const std::string& root = "");

}  // namespace baltoro::numa
