#include "device/gpu_step_tables.h"

#include <bit>

#include "base/check.h"

namespace baltoro::device {
namespace {

static_assert(sizeof(gpu::DecodeRow) == 2 * sizeof(std::int32_t));
static_assert(gpu::kPageTokens == kPageTokens);

// Pages of which a sequence's rows see a part.
int page_count(const SequenceRows& sequence) noexcept {
    return (sequence.first_position + sequence.n_rows + kPageTokens - 1) / kPageTokens;
}

}  // namespace

GpuStepTables::GpuStepTables(GpuPlatform& platform, const std::function<void()>& drain)
    : platform_(platform), entries_{{platform, drain}, {platform, drain}} {}

void GpuStepTables::reserve(std::size_t size_bytes) {
    for (Entry& entry : entries_)
        entry.device_words.get<std::byte>(size_bytes);
}

void GpuStepTables::begin_step() noexcept {
    next_entry_ = 0;
    for (Entry& entry : entries_)
        entry.key = nullptr;
}

GpuStepTables::Tables GpuStepTables::of(std::span<const SequenceRows> sequences) {
    check(!sequences.empty(), "a step has rows");
    Entry* entry = nullptr;
    for (Entry& known : entries_)
        if (known.key == sequences.data()) entry = &known;
    if (entry == nullptr) {
        entry = &entries_[next_entry_];
        next_entry_ = 1 - next_entry_;
        fill(*entry, sequences);
        // Contexts grow by a page at a time; the memory grows by steps that double.
        std::int32_t* dst =
            entry->device_words.get<std::int32_t>(std::bit_ceil(entry->words.size()));
        platform_.copy_to_device(dst, entry->words.data(),
                                 entry->words.size() * sizeof(std::int32_t));
        entry->key = sequences.data();
    }
    const auto n_rows = static_cast<std::size_t>(entry->n_rows);
    const std::int32_t* words = entry->device_words.get<std::int32_t>(entry->words.size());
    // Rows are pairs of words: they come first, so that they are aligned.
    return {words + 2 * n_rows, reinterpret_cast<const gpu::DecodeRow*>(words), words + 3 * n_rows,
            entry->table_offsets, entry->n_rows};
}

void GpuStepTables::fill(Entry& entry, std::span<const SequenceRows> sequences) {
    int n_rows = 0;
    int n_pages = 0;
    for (const SequenceRows& sequence : sequences) {
        n_rows += sequence.n_rows;
        n_pages += page_count(sequence);
    }
    entry.n_rows = n_rows;
    entry.table_offsets.clear();
    entry.words.resize(static_cast<std::size_t>(3 * n_rows + n_pages));
    std::int32_t* rows = entry.words.data();
    std::int32_t* slots = rows + 2 * n_rows;
    std::int32_t* pages = rows + 3 * n_rows;
    int offset = 0;
    for (const SequenceRows& sequence : sequences) {
        entry.table_offsets.push_back(offset);
        for (int r = 0; r < sequence.n_rows; r++) {
            const int position = sequence.first_position + r;
            *rows++ = position + 1;
            *rows++ = offset;
            const int page = sequence.page_table[static_cast<std::size_t>(position / kPageTokens)];
            *slots++ = page * kPageTokens + position % kPageTokens;
        }
        for (int p = 0; p < page_count(sequence); p++)
            pages[offset++] = sequence.page_table[static_cast<std::size_t>(p)];
    }
}

}  // namespace baltoro::device
