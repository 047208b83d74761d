#include "numa/available_memory.h"

#include <algorithm>
#include <fstream>
#include <map>
#include <sstream>

#include <fmt/format.h>

#include "base/error.h"
#include "numa/cgroup_limit.h"

namespace baltoro::numa {
namespace {

// The lines "Key: 123 kB" or "Node 0 Key: 123 kB" of a meminfo file, in bytes.
std::map<std::string, std::uint64_t> read_meminfo(const std::string& path) {
    std::map<std::string, std::uint64_t> bytes;
    std::ifstream file(path);
    for (std::string line; std::getline(file, line);) {
        const std::size_t colon = line.find(':');
        if (colon == std::string::npos) continue;
        const std::size_t space = line.rfind(' ', colon);
        const std::size_t begin = space == std::string::npos ? 0 : space + 1;
        std::uint64_t kilobytes = 0;
        if (std::istringstream(line.substr(colon + 1)) >> kilobytes)
            bytes[line.substr(begin, colon - begin)] = 1024 * kilobytes;
    }
    return bytes;
}

// The kernel has no MemAvailable per node; this is its formula without the watermarks. Shared
// memory counts as file pages but cannot be dropped.
std::optional<std::uint64_t> available_on_node(const Node& node, const std::string& root) {
    auto info =
        read_meminfo(fmt::format("{}/sys/devices/system/node/node{}/meminfo", root, node.os_index));
    if (info.count("MemFree") == 0) return {};
    const std::uint64_t droppable = info["FilePages"] + info["SReclaimable"];
    return info["MemFree"] + droppable - std::min(droppable, info["Shmem"]);
}

}  // namespace

AvailableMemory available_memory(const Topology& topology, const std::string& root) {
    auto info = read_meminfo(root + "/proc/meminfo");
    if (info.count("MemAvailable") == 0)
        throw Error(root + "/proc/meminfo: expected MemAvailable, found none");
    AvailableMemory memory{info["MemAvailable"], {}};
    if (const auto granted = cgroup_available_memory(root))
        memory.total_bytes = std::min(memory.total_bytes, *granted);
    for (const Node& node : topology.nodes)
        memory.node_bytes.push_back(available_on_node(node, root));
    return memory;
}

}  // namespace baltoro::numa
