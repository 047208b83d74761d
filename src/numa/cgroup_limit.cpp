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

std::vector<Membership> read_memberships(const std::string& root) {
    std::vector<Membership> memberships;
    std::ifstream file(root + "/proc/self/cgroup");
    for (std::string line; std::getline(file, line);) {
        const std::size_t first = line.find(':');
        if (first == std::string::npos) continue;
        const std::size_t second = line.find(':', first + 1);
        if (second == std::string::npos) continue;
        const std::string controllers = line.substr(first + 1, second - first - 1);
        const bool is_v2 = line.substr(0, first) == "0" && controllers.empty();
        if (is_v2 || has_word(controllers, "cpu")) {
            memberships.push_back({is_v2, line.substr(second + 1)});
        }
    }
    return memberships;
}

// proc(5): "id parent major:minor subtree mount_point options [optional...] - type source options".
std::vector<Mount> read_mounts(const std::string& root) {
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
        if (mount.is_v2 || (type == "cgroup" && has_word(options, "cpu"))) mounts.push_back(mount);
    }
    return mounts;
}

// The limit written in one group's folder, if any.
std::optional<double> limit_in(const std::string& folder, bool is_v2) {
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

}  // namespace

double cgroup_cpu_limit(const std::string& root) {
    double tightest = 0;
    const std::vector<Mount> mounts = read_mounts(root);
    for (const Membership& membership : read_memberships(root)) {
        for (const Mount& mount : mounts) {
            if (mount.is_v2 != membership.is_v2) continue;
            // Every ancestor's limit holds too.
            std::string path = visible_path(membership, mount);
            while (true) {
                const auto limit = limit_in(root + mount.mount_point + path, mount.is_v2);
                if (limit && (tightest == 0 || *limit < tightest)) tightest = *limit;
                if (path.empty()) break;
                path.resize(path.rfind('/') == std::string::npos ? 0 : path.rfind('/'));
            }
        }
    }
    return tightest;
}

}  // namespace baltoro::numa
