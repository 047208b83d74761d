#include "numa/arena.h"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <climits>
#include <fstream>
#include <string_view>
#include <system_error>
#include <utility>

#include <fmt/format.h>
#include <linux/mempolicy.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/error.h"

namespace baltoro::numa {
namespace {

constexpr std::size_t kHugePage = std::size_t{2} << 20;
constexpr std::size_t kSampledPages = 256;

// The bytes [begin, end) of this process's address space.
struct AddressRange {
    std::uintptr_t begin = 0;
    std::uintptr_t end = 0;
};

// errno, or 0.
int prefer_node(void* memory, std::size_t size_bytes, int node_os_index) {
    constexpr std::size_t kBits = sizeof(unsigned long) * CHAR_BIT;
    std::vector<unsigned long> mask(static_cast<std::size_t>(node_os_index) / kBits + 1, 0);
    mask.back() = 1ul << (static_cast<std::size_t>(node_os_index) % kBits);
    // The kernel counts one bit less than it is told.
    const long failed = syscall(SYS_mbind, memory, size_bytes, MPOL_PREFERRED, mask.data(),
                                mask.size() * kBits + 1, 0);
    return failed != 0 ? errno : 0;
}

// The mapping that a heading of /proc/self/smaps, "begin-end rw-p ...", is about.
bool parse_heading(std::string_view line, AddressRange& range) {
    const char* const end = line.data() + line.size();
    const auto [dash, error] = std::from_chars(line.data(), end, range.begin, 16);
    if (error != std::errc() || dash == end || *dash != '-') return false;
    return std::from_chars(dash + 1, end, range.end, 16).ec == std::errc();
}

// Bytes in 2 MB pages of all mappings inside `range`. The kernel may have joined neighbouring
// memory to a mapping, so it can be too many, but not more than there are.
std::uint64_t huge_bytes_in(AddressRange range) {
    constexpr std::string_view kKey = "AnonHugePages:";
    std::ifstream smaps("/proc/self/smaps");
    AddressRange mapping;
    std::uint64_t bytes = 0;
    for (std::string line; std::getline(smaps, line);) {
        if (parse_heading(line, mapping) || line.compare(0, kKey.size(), kKey) != 0) continue;
        if (mapping.end <= range.begin || mapping.begin >= range.end) continue;
        bytes += 1024 * std::stoull(line.substr(kKey.size()));
    }
    return std::min<std::uint64_t>(bytes, range.end - range.begin);
}

// The share of a sample of resident pages that lies on the node.
double share_on_node(std::byte* data, std::size_t size_bytes, int node_os_index) {
    std::vector<void*> pages;
    const std::size_t step = std::max(size_bytes / kSampledPages / kHugePage, std::size_t{1});
    for (std::size_t at = 0; at < size_bytes; at += step * kHugePage)
        pages.push_back(data + at);
    std::vector<int> nodes(pages.size(), -1);
    // Without target nodes move_pages only says where the pages are.
    if (syscall(SYS_move_pages, 0, pages.size(), pages.data(), nullptr, nodes.data(), 0) != 0) {
        return 1;
    }
    const auto n_resident = std::count_if(nodes.begin(), nodes.end(), [](int n) { return n >= 0; });
    const auto n_here = std::count(nodes.begin(), nodes.end(), node_os_index);
    return n_resident == 0 ? 1 : static_cast<double>(n_here) / static_cast<double>(n_resident);
}

double gigabytes(std::uint64_t bytes) {
    return 1e-9 * static_cast<double>(bytes);
}

}  // namespace

Arena::Arena(std::size_t size_bytes, int node_os_index)
    : size_bytes_(size_bytes),
      mapped_bytes_((size_bytes / kHugePage + 2) * kHugePage),
      node_os_index_(node_os_index) {
    constexpr int kFlags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    mapping_ = mmap(nullptr, mapped_bytes_, PROT_READ | PROT_WRITE, kFlags, -1, 0);
    if (mapping_ == MAP_FAILED) {
        throw system_error(fmt::format("map {:.1f} GB for weights on node {}",
                                       gigabytes(size_bytes), node_os_index),
                           errno);
    }
    const std::size_t past = reinterpret_cast<std::uintptr_t>(mapping_) % kHugePage;
    data_ = static_cast<std::byte*>(mapping_) + (past == 0 ? 0 : kHugePage - past);
    madvise(mapping_, mapped_bytes_, MADV_HUGEPAGE);  // pages() tells whether it helped
    bind_error_ = prefer_node(mapping_, mapped_bytes_, node_os_index);
}

Arena::~Arena() {
    if (mapping_ != nullptr) munmap(mapping_, mapped_bytes_);
}

Arena::Arena(Arena&& other) noexcept
    : data_(other.data_),
      size_bytes_(other.size_bytes_),
      mapped_bytes_(other.mapped_bytes_),
      mapping_(std::exchange(other.mapping_, nullptr)),
      node_os_index_(other.node_os_index_),
      bind_error_(other.bind_error_) {}

ArenaPages Arena::pages() const {
    const auto begin = reinterpret_cast<std::uintptr_t>(data_);
    return {huge_bytes_in({begin, begin + size_bytes_}),
            share_on_node(data_, size_bytes_, node_os_index_)};
}

std::vector<std::string> Arena::fallbacks() const {
    std::vector<std::string> lines;
    const ArenaPages now = pages();
    const std::uint64_t whole_huge_bytes = size_bytes_ / kHugePage * kHugePage;
    if (bind_error_ != 0) {
        lines.push_back(fmt::format(
            "weights of node {} cannot be bound to it ({}); they lie where they were first written",
            node_os_index_, std::generic_category().message(bind_error_)));
    }
    if (now.on_node_share < 0.99) {
        lines.push_back(
            fmt::format("{:.0f} % of the weights of node {} lie on other nodes, which is slower; "
                        "free memory on this node",
                        100 * (1 - now.on_node_share), node_os_index_));
    }
    if (static_cast<double>(now.huge_bytes) < 0.95 * static_cast<double>(whole_huge_bytes)) {
        lines.push_back(
            fmt::format("only {:.1f} of {:.1f} GB of weights on node {} are in 2 MB pages, which "
                        "is slower; write \"madvise\" to "
                        "/sys/kernel/mm/transparent_hugepage/enabled",
                        gigabytes(now.huge_bytes), gigabytes(whole_huge_bytes), node_os_index_));
    }
    return lines;
}

}  // namespace baltoro::numa
