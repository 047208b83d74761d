// Times the copying of a checkpoint's experts to node-local memory against memcpy of as many bytes,
// by the same workers and also to memory that was never written: from a warm page cache, the same
// with what was copied dropped from it, and from a cold one, where the disk is the bound.
//   checkpoint_copy_bench MODEL_DIR [n_threads]

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "experts/copied_experts.h"
#include "experts/scratch_memory.h"
#include "model/config.h"
#include "model/weights.h"
#include "weights/checkpoint.h"

using namespace baltoro;
using namespace baltoro::experts;

namespace {

using Clock = std::chrono::steady_clock;

constexpr int kRuns = 8;

double seconds_since(Clock::time_point begin) {
    return std::chrono::duration<double>(Clock::now() - begin).count();
}

double time_memcpy(numa::Team& team, const ScratchMemory& src, std::size_t n_bytes, int os_index) {
    const Clock::time_point begin = Clock::now();
    const numa::Arena arena(n_bytes, os_index);
    team.run([&](int worker_idx) {
        const std::size_t n = n_bytes / static_cast<std::size_t>(team.size());
        std::memcpy(arena.data() + n * worker_idx, src.data() + n * worker_idx, n);
    });
    return seconds_since(begin);
}

void read_all(const Checkpoint& checkpoint) {
    std::vector<std::byte> piece(std::size_t{4} << 20);
    for (const SafetensorsFile& shard : checkpoint.shards()) {
        const FileReader reader(shard.file());
        const std::size_t size = shard.file().bytes().size();
        for (std::size_t at = 0; at < size; at += piece.size())
            reader.read(at, std::span(piece).first(std::min(piece.size(), size - at)));
    }
}

void drop_all(const Checkpoint& checkpoint) {
    for (const SafetensorsFile& shard : checkpoint.shards())
        shard.file().drop_cached(0, shard.file().bytes().size());
}

// Seconds of several runs of one way to copy.
struct Timing {
    const char* what;
    std::vector<double> seconds{};

    double median() {
        std::sort(seconds.begin(), seconds.end());
        return seconds[seconds.size() / 2];
    }
};

void print(Timing& timing, double gigabytes, double memcpy_s) {
    const double median = timing.median();
    fmt::print("{:26} {:6.2f} GB/s ({:.2f} - {:.2f})  {:4.0f} % of memcpy\n", timing.what,
               gigabytes / median, gigabytes / timing.seconds.back(),
               gigabytes / timing.seconds.front(), 100 * memcpy_s / timing.seconds.front());
}

}  // namespace

int main(int argc, char** argv) {
    if (argc < 2) {
        fmt::print(stderr, "usage: checkpoint_copy_bench MODEL_DIR [n_threads]\n");
        return 1;
    }
    const ModelConfig config = read_model_config(argv[1]);
    const Checkpoint checkpoint(argv[1]);
    const ExpertStore mapped = map_experts(config, checkpoint);
    const numa::Topology topology = numa::discover_topology();
    const int n_threads = argc > 2 ? std::atoi(argv[2]) : numa::default_thread_count(topology);
    numa::Team team(numa::place_workers(topology, n_threads));
    const Placement placement = place_experts(team, config.moe_intermediate_size);
    std::size_t n_bytes = 0;
    for (const std::uint64_t bytes : copied_bytes(mapped, placement))
        n_bytes += bytes;
    const ScratchMemory src(n_bytes);
    std::memset(src.data(), 1, n_bytes);
    const auto time_copy = [&](bool keep_cached) {
        const Clock::time_point begin = Clock::now();
        const CopiedExperts copied({mapped, checkpoint.shards(), keep_cached}, placement, topology,
                                   team);
        return seconds_since(begin);
    };
    Timing plain{"memcpy"};
    Timing warm{"experts, page cache warm"};
    Timing dropping{"the same, dropped from it"};
    Timing cold{"experts, page cache cold"};
    // A virtual machine's host may take free memory away and lend it again late, so what is
    // compared runs right after each other, and dropping comes last.
    read_all(checkpoint);
    for (int i = 0; i < kRuns; ++i) {
        plain.seconds.push_back(time_memcpy(team, src, n_bytes, topology.nodes[0].os_index));
        warm.seconds.push_back(time_copy(true));
    }
    for (int i = 0; i < kRuns / 2; ++i) {
        read_all(checkpoint);
        dropping.seconds.push_back(time_copy(false));
        drop_all(checkpoint);
        cold.seconds.push_back(time_copy(true));
    }
    const double gigabytes = 1e-9 * static_cast<double>(n_bytes);
    fmt::print("{}, {} threads, {} nodes, {:.2f} GB, median of {} (slowest - fastest)\n",
               topology.cpu_model, n_threads, placement.nodes.size(), gigabytes, kRuns);
    plain.median();
    const double memcpy_s = plain.seconds.front();
    for (Timing* timing : {&plain, &warm, &dropping, &cold})
        print(*timing, gigabytes, memcpy_s);
}
