#include "numa/cgroup_limit.h"

#include <algorithm>
#include <fstream>
#include <optional>
#include <sstream>
#include <string_view>
#include <vector>

namespace baltoro::numa {
namespace {

// One line of /proc/self/cgroup, "id:controllers:path"; v2 has id 0 and no controllers.
struct Membership {
    bool is_v2 = false;
    std::string path;
};

// One mounted hierarchy: `subtree` of it is visible at `mount_point`.
struct Mount {
    bool is_v2 = false;
    std::string subtree;
    std::string mount_point;
};

bool has_word(std::string_view list, std::string_view word) {
    while (!list.empty()) {
        const std::size_t comma = std::min(list.find(','), list.size());
        if (list.substr(0, comma) == word) return true;
        list.remove_prefix(std::min(comma + 1, list.size()));
    }
    return false;
}

// Of the groups that may limit through `controller`.
std::vector<Membership> read_memberships(const std::string& root, std::string_view controller) {
    std::vector<Membership> memberships;
    std::ifstream file(root + "/proc/self/cgroup");
    for (std::string line; std::getline(file, line);) {
        const std::size_t first = line.find(':');
        if (first == std::string::npos) continue;
        const std::size_t second = line.find(':', first + 1);
        if (second == std::string::npos) continue;
        const std::string controllers = line.substr(first + 1, second - first - 1);
        const bool is_v2 = line.substr(0, first) == "0" && controllers.empty();
        if (is_v2 || has_word(controllers, controller)) {
            memberships.push_back({is_v2, line.substr(second + 1)});
        }
    }
    return memberships;
}

// proc(5): "id parent major:minor subtree mount_point options [optional...] - type source options".
std::vector<Mount> read_mounts(const std::string& root, std::string_view controller) {
    std::vector<Mount> mounts;
    std::ifstream file(root + "/proc/self/mountinfo");
    for (std::string line; std::getline(file, line);) {
        const std::size_t dash = line.find(" - ");
        if (dash == std::string::npos) continue;
        std::istringstream front(line.substr(0, dash));
        std::istringstream back(line.substr(dash + 3));
        std::string ignored;
        std::string type;
        std::string options;
        Mount mount;
        front >> ignored >> ignored >> ignored >> mount.subtree >> mount.mount_point;
        back >> type >> ignored >> options;
        mount.is_v2 = type == "cgroup2";
        if (mount.is_v2 || (type == "cgroup" && has_word(options, controller)))
            mounts.push_back(mount);
    }
    return mounts;
}

// The CPU limit written in one group's folder, if any.
std::optional<double> cpu_limit_in(const std::string& folder, bool is_v2) {
    std::string quota;  // microseconds, "max" (v2) or -1 (v1)
    double period = 0;
    if (is_v2) {
        std::ifstream(folder + "/cpu.max") >> quota >> period;
    } else {
        std::ifstream(folder + "/cpu.cfs_quota_us") >> quota;
        std::ifstream(folder + "/cpu.cfs_period_us") >> period;
    }
    double quota_us = 0;
    if (!(std::istringstream(quota) >> quota_us) || quota_us <= 0 || period <= 0) return {};
    return quota_us / period;
}

// The group's path below the mount point: a container sees only `subtree` of the hierarchy.
std::string visible_path(const Membership& membership, const Mount& mount) {
    const std::string& path = membership.path;
    if (mount.subtree == "/") return path;
    const std::size_t n = mount.subtree.size();
    if (path.compare(0, n, mount.subtree) == 0 && (path.size() == n || path[n] == '/')) {
        return path.substr(n);
    }
    return "";
}

// The number after `key` in a file of "key number" lines; 0 if it is not there.
std::uint64_t value_of(const std::string& path, std::string_view key) {
    std::ifstream file(path);
    std::string name;
    for (std::uint64_t value = 0; file >> name >> value;)
        if (name == key) return value;
    return 0;
}

// The memory that one group's folder still grants, if it limits any.
std::optional<std::uint64_t> memory_left_in(const std::string& folder, bool is_v2) {
    std::string limit;  // bytes, or "max" (v2); v1 writes nearly 2^63 for no limit
    std::uint64_t used_bytes = 0;
    std::ifstream(folder + (is_v2 ? "/memory.max" : "/memory.limit_in_bytes")) >> limit;
    std::ifstream(folder + (is_v2 ? "/memory.current" : "/memory.usage_in_bytes")) >> used_bytes;
    std::uint64_t limit_bytes = 0;
    if (!(std::istringstream(limit) >> limit_bytes)) return {};
    const std::string stat = folder + "/memory.stat";
    const std::uint64_t file_bytes = value_of(stat, is_v2 ? "file" : "total_cache");
    const std::uint64_t shared_bytes = value_of(stat, is_v2 ? "shmem" : "total_shmem");
    used_bytes -= std::min(used_bytes, file_bytes - std::min(file_bytes, shared_bytes));
    return limit_bytes - std::min(limit_bytes, used_bytes);
}

// The least that `limit_in(folder, is_v2)` gives for this process's groups and all their
// ancestors, whose limits hold too.
template <typename F>
auto tightest_limit(const std::string& root, std::string_view controller, F limit_in)
    -> decltype(limit_in(root, true)) {
    decltype(limit_in(root, true)) tightest;
    const std::vector<Mount> mounts = read_mounts(root, controller);
    for (const Membership& membership : read_memberships(root, controller)) {
        for (const Mount& mount : mounts) {
            if (mount.is_v2 != membership.is_v2) continue;
            std::string path = visible_path(membership, mount);
            while (true) {
                const auto limit = limit_in(root + mount.mount_point + path, mount.is_v2);
                if (limit && (!tightest || *limit < *tightest)) tightest = limit;
                if (path.empty()) break;
                path.resize(path.rfind('/') == std::string::npos ? 0 : path.rfind('/'));
            }
        }
    }
    return tightest;
}

}  // namespace

double cgroup_cpu_limit(const std::string& root) {
    return tightest_limit(root, "cpu", cpu_limit_in).value_or(0);
}

std::optional<std::uint64_t> cgroup_available_memory(const std::string& root) {
    return tightest_limit(root, "memory", memory_left_in);
}

}  // namespace baltoro::numa
