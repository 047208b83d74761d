#pragma once

#include <string>

namespace baltoro::numa {

// CPUs' worth of time that the control groups of this process grant, the tightest of all levels of
// both hierarchies (v1 `cpu.cfs_quota_us`, v2 `cpu.max`); 0 = unlimited. Files are looked up below
// `root` ("" for this machine; tests pass a folder that imitates one). Any thread.
double cgroup_cpu_limit(const std::string& root = "");

}  // namespace baltoro::numa
