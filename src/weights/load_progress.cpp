#include "weights/load_progress.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <mutex>

#include <fmt/format.h>

#include "base/error.h"
#include "base/log.h"
#include "weights/parallel.h"

namespace baltoro {
namespace {

constexpr std::size_t kChunkBytes = std::size_t{32} << 20;

// Part of a shard, ends on page boundaries (the last may be cut by the end of the file).
struct Chunk {
    const MappedFile* file;
    const std::byte* data;
    std::size_t size;
};

// Byte ranges of one file's needed tensors, grown to whole pages, sorted, joined where they touch.
std::vector<std::span<const std::byte>> joined_pages(std::vector<std::span<const std::byte>> ranges,
                                                     const MappedFile& file) {
    const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
    const std::byte* base = file.bytes().data();  // mappings begin on a page
    std::sort(ranges.begin(), ranges.end(),
              [](const auto& a, const auto& b) { return a.data() < b.data(); });
    std::vector<std::span<const std::byte>> joined;
    for (const std::span<const std::byte> range : ranges) {
        std::size_t begin = static_cast<std::size_t>(range.data() - base) / page * page;
        const std::size_t end = static_cast<std::size_t>(range.data() - base) + range.size();
        const std::size_t page_end = std::min((end + page - 1) / page * page, file.bytes().size());
        if (!joined.empty()) {
            const std::span<const std::byte> last = joined.back();
            const auto last_end = static_cast<std::size_t>(last.data() + last.size() - base);
            if (begin <= last_end) {
                begin = static_cast<std::size_t>(last.data() - base);
                joined.pop_back();
            }
        }
        joined.push_back(file.bytes().subspan(begin, page_end - begin));
    }
    return joined;
}

// The joined pages of all needed tensors.
std::vector<Chunk> needed_ranges(const Checkpoint& checkpoint,
                                 const std::function<bool(std::string_view name)>& is_needed) {
    std::vector<std::vector<std::span<const std::byte>>> ranges(checkpoint.shards().size());
    for (const auto& [name, tensor] : checkpoint.tensors()) {
        if (tensor.size_bytes == 0 || !is_needed(name)) continue;
        for (std::size_t i = 0; i < ranges.size(); ++i) {
            const std::span<const std::byte> bytes = checkpoint.shards()[i].file().bytes();
            if (tensor.data < bytes.data() || tensor.data >= bytes.data() + bytes.size()) continue;
            ranges[i].emplace_back(tensor.data, tensor.size_bytes);
            break;
        }
    }
    std::vector<Chunk> joined;
    for (std::size_t i = 0; i < ranges.size(); ++i) {
        const MappedFile& file = checkpoint.shards()[i].file();
        for (const std::span<const std::byte> range : joined_pages(std::move(ranges[i]), file))
            joined.push_back({&file, range.data(), range.size()});
    }
    return joined;
}

std::vector<Chunk> needed_chunks(const Checkpoint& checkpoint,
                                 const std::function<bool(std::string_view name)>& is_needed) {
    std::vector<Chunk> chunks;
    for (const Chunk& range : needed_ranges(checkpoint, is_needed))
        for (std::size_t offset = 0; offset < range.size; offset += kChunkBytes)
            chunks.push_back(
                {range.file, range.data + offset, std::min(kChunkBytes, range.size - offset)});
    return chunks;
}

// For kernels before 5.14, which do not know MADV_POPULATE_READ.
void touch_pages(const Chunk& chunk) {
    const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
    unsigned sum = 0;
    for (std::size_t offset = 0; offset < chunk.size; offset += page) {
        sum += std::to_integer<unsigned>(chunk.data[offset]);
    }
    const std::atomic<unsigned> kept{sum};  // so that the reads are not removed
    static_cast<void>(kept.load());
}

void populate(const Chunk& chunk) {
    void* address = const_cast<std::byte*>(chunk.data);
    // Starts reading the whole chunk; faults alone would read ahead in small steps. A hint: where
    // it fails the next call still reads.
    madvise(address, chunk.size, MADV_WILLNEED);
    while (madvise(address, chunk.size, MADV_POPULATE_READ) != 0) {
        const int failure = errno;
        if (failure == EINTR || failure == EAGAIN) continue;
        if (failure == EINVAL) return touch_pages(chunk);
        chunk.file->check_size_unchanged();
        throw system_error(chunk.file->path() + ": cannot read the mapped weights", failure);
    }
}

double seconds_since(std::chrono::steady_clock::time_point start) {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

std::string bar(double fraction) {
    constexpr int kWidth = 30;
    const int n_full = static_cast<int>(fraction * kWidth);
    return std::string(n_full, '#') + std::string(kWidth - n_full, '.');
}

}  // namespace

void load_into_page_cache(const Checkpoint& checkpoint,
                          const std::function<bool(std::string_view name)>& is_needed,
                          int n_threads,
                          const std::function<void(const LoadProgress&)>& report) {
    const auto start = std::chrono::steady_clock::now();
    for (const SafetensorsFile& shard : checkpoint.shards())
        shard.file().check_size_unchanged();
    const std::vector<Chunk> chunks = needed_chunks(checkpoint, is_needed);
    LoadProgress progress;
    for (const Chunk& chunk : chunks)
        progress.total_bytes += chunk.size;
    std::mutex progress_mutex;
    for_each_index(chunks.size(), n_threads, [&](std::size_t i) {
        populate(chunks[i]);
        const std::lock_guard lock(progress_mutex);
        progress.done_bytes += chunks[i].size;
        progress.seconds = seconds_since(start);
        report(progress);
    });
    if (chunks.empty()) report(progress);
}

void drop_from_page_cache(const Checkpoint& checkpoint,
                          const std::function<bool(std::string_view name)>& is_done) {
    for (const Chunk& range : needed_ranges(checkpoint, is_done)) {
        // The page cache keeps what is mapped. The mapping is of a file: nothing is lost.
        madvise(const_cast<std::byte*>(range.data), range.size, MADV_DONTNEED);
        range.file->drop_cached(static_cast<std::size_t>(range.data - range.file->bytes().data()),
                                range.size);
    }
}

std::string ProgressDisplay::text_for(const LoadProgress& progress) {
    const bool is_done = progress.done_bytes >= progress.total_bytes;
    const double done_gb = static_cast<double>(progress.done_bytes) * 1e-9;
    const double total_gb = static_cast<double>(progress.total_bytes) * 1e-9;
    const double fraction = is_done ? 1.0 : done_gb / total_gb;
    const double rate = progress.seconds > 0 ? done_gb / progress.seconds : 0;
    if (is_terminal_) {
        // Redrawing ten times a second is enough for the eye.
        if (!is_done && progress.seconds - shown_seconds_ < 0.1) return {};
        shown_seconds_ = progress.seconds;
        const std::string tail =
            is_done ? fmt::format("in {:.1f} s\n", progress.seconds)
                    : fmt::format("{:.0f} s left", rate > 0 ? (total_gb - done_gb) / rate : 0.0);
        return fmt::format("\r\x1b[K{} [{}] {:.1f} / {:.1f} GB  {:.2f} GB/s  {}", what_,
                           bar(fraction), done_gb, total_gb, rate, tail);
    }
    const int tenths = static_cast<int>(fraction * 10);
    if (tenths <= shown_tenths_) return {};
    shown_tenths_ = tenths;
    return fmt::format("{}: {} % of {:.1f} GB, {:.2f} GB/s", what_, tenths * 10, total_gb, rate);
}

void ProgressDisplay::show(const LoadProgress& progress) {
    const std::string text = text_for(progress);
    if (is_terminal_)
        std::fwrite(text.data(), 1, text.size(), stderr);
    else if (!text.empty())
        log_line(text);
}

}  // namespace baltoro
