#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace baltoro::numa {

// CPUs' worth of time that the control groups of this process grant, the tightest of all levels of
// both hierarchies (v1 `cpu.cfs_quota_us`, v2 `cpu.max`); 0 = unlimited. Files are looked up below
// `root` ("" for this machine; tests pass a folder that imitates one). Any thread.
double cgroup_cpu_limit(const std::string& root = "");

// Bytes that the control groups of this process still grant, the least of all levels of both
// hierarchies (v1 `memory.limit_in_bytes`, v2 `memory.max`), where page cache counts as free;
// absent = unlimited. Otherwise the same.
std::optional<std::uint64_t> cgroup_available_memory(const std::string& root = "");

}  // namespace baltoro::numa
