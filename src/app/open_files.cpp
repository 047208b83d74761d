#include "app/open_files.h"

#include <sys/resource.h>

#include <algorithm>

#include "base/check.h"

namespace baltoro {
namespace {

// The shards of a checkpoint while they are mapped, listeners, event queues, and connections beyond
// the limit that are being told so.
constexpr std::size_t kOtherFiles = 256;

}  // namespace

std::size_t raise_open_file_limit() noexcept {
    rlimit limit{};
    check(::getrlimit(RLIMIT_NOFILE, &limit) == 0, "a process can read its own limits");
    const rlimit raised{limit.rlim_max, limit.rlim_max};
    if (::setrlimit(RLIMIT_NOFILE, &raised) == 0) limit = raised;
    return limit.rlim_cur;
}

std::size_t connections_within(std::size_t n_files, std::size_t n_wanted) noexcept {
    const std::size_t others = std::min(kOtherFiles, n_files / 2);
    return std::clamp<std::size_t>(n_files - others, 1, n_wanted);
}

}  // namespace baltoro
