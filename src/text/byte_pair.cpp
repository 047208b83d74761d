#include "text/byte_pair.h"

#include <algorithm>
#include <limits>
#include <queue>
#include <utility>

#include "base/check.h"

namespace baltoro {
namespace {

constexpr std::int32_t kNoRank = std::numeric_limits<std::int32_t>::max();

// Up to here scanning all pairs for the lowest beats a heap; pieces of real text are shorter.
constexpr std::size_t kMaxScannedBytes = 96;

std::size_t byte_value(char byte) noexcept {
    return static_cast<unsigned char>(byte);
}

}  // namespace

BytePairEncoder::BytePairEncoder(TokenTable ranks)
    : ranks_(std::move(ranks)), byte_ids_(), pair_ranks_(65536, kNoRank) {
    for (std::size_t value = 0; value < 256; ++value) {
        const char byte = static_cast<char>(value);
        byte_ids_[value] = ranks_.find({&byte, 1});
        check(byte_ids_[value] >= 0, "every single byte is a token");
    }
    for (std::int32_t id = 0; id < ranks_.size(); ++id) {
        const std::string_view bytes = ranks_.bytes(id);
        if (bytes.size() == 2) pair_ranks_[byte_value(bytes[0]) * 256 + byte_value(bytes[1])] = id;
    }
}

void BytePairEncoder::encode(std::string_view piece, std::vector<std::int32_t>& ids) const {
    if (piece.empty()) return;
    if (piece.size() == 1) {
        ids.push_back(byte_ids_[byte_value(piece[0])]);
        return;
    }
    if (const std::int32_t rank = rank_of(piece); rank != kNoRank) {
        ids.push_back(rank);
        return;
    }
    if (piece.size() <= kMaxScannedBytes) {
        merge_short(piece, ids);
    } else {
        merge_long(piece, ids);
    }
}

void BytePairEncoder::encode_bytes(std::string_view bytes, std::vector<std::int32_t>& ids) const {
    for (const char byte : bytes)
        ids.push_back(byte_ids_[byte_value(byte)]);
}

std::int32_t BytePairEncoder::rank_of(std::string_view bytes) const noexcept {
    if (bytes.size() == 2) return pair_ranks_[byte_value(bytes[0]) * 256 + byte_value(bytes[1])];
    if (bytes.size() > ranks_.max_token_bytes()) return kNoRank;
    const std::int32_t id = ranks_.find(bytes);
    return id < 0 ? kNoRank : id;
}

void BytePairEncoder::merge_short(std::string_view piece, std::vector<std::int32_t>& ids) const {
    // Part i is [begin[i], begin[i + 1]) and has the id part[i]; pair[i] is the rank of i with i
    // + 1.
    std::array<std::uint8_t, kMaxScannedBytes + 1> begin;
    std::array<std::int32_t, kMaxScannedBytes> part;
    std::array<std::int32_t, kMaxScannedBytes> pair;
    std::size_t n_parts = piece.size();
    const auto pair_rank = [&](std::size_t i) {
        return rank_of(piece.substr(begin[i], begin[i + 2] - begin[i]));
    };
    for (std::size_t i = 0; i <= n_parts; ++i)
        begin[i] = static_cast<std::uint8_t>(i);
    for (std::size_t i = 0; i < n_parts; ++i)
        part[i] = byte_ids_[byte_value(piece[i])];
    for (std::size_t i = 0; i + 1 < n_parts; ++i)
        pair[i] = pair_rank(i);
    while (n_parts > 1) {
        const auto pair_end = pair.begin() + static_cast<std::ptrdiff_t>(n_parts - 1);
        const auto lowest = std::min_element(pair.begin(), pair_end);
        if (*lowest == kNoRank) break;
        const auto i = static_cast<std::size_t>(lowest - pair.begin());
        part[i] = *lowest;
        --n_parts;
        for (std::size_t k = i + 1; k < n_parts; ++k)
            part[k] = part[k + 1];
        for (std::size_t k = i + 1; k <= n_parts; ++k)
            begin[k] = begin[k + 1];
        for (std::size_t k = i; k + 1 < n_parts; ++k)
            pair[k] = pair[k + 1];
        if (i + 1 < n_parts) pair[i] = pair_rank(i);
        if (i > 0) pair[i - 1] = pair_rank(i - 1);
    }
    ids.insert(ids.end(), part.begin(), part.begin() + static_cast<std::ptrdiff_t>(n_parts));
}

void BytePairEncoder::merge_long(std::string_view piece, std::vector<std::int32_t>& ids) const {
    // Parts are a linked list over their first bytes. A candidate is stale once one of its parts
    // has been merged: then the pair at its position no longer has its rank.
    struct Part {
        std::uint32_t previous, next, end;
        std::int32_t id, pair_rank;
    };
    using Candidate = std::pair<std::int32_t, std::uint32_t>;  // rank, position: ties go left
    const auto n = static_cast<std::uint32_t>(piece.size());
    std::vector<Part> parts(n);
    std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>> candidates;
    const auto consider = [&](std::uint32_t at) {
        Part& part = parts[at];
        part.pair_rank =
            part.next == n ? kNoRank : rank_of(piece.substr(at, parts[part.next].end - at));
        if (part.pair_rank != kNoRank) candidates.emplace(part.pair_rank, at);
    };
    for (std::uint32_t i = 0; i < n; ++i)
        parts[i] = {i - 1, i + 1, i + 1, byte_ids_[byte_value(piece[i])], kNoRank};
    for (std::uint32_t i = 0; i < n; ++i)
        consider(i);
    while (!candidates.empty()) {
        const auto [rank, at] = candidates.top();
        candidates.pop();
        Part& part = parts[at];
        if (part.pair_rank != rank) continue;
        Part& absorbed = parts[part.next];
        part.end = absorbed.end;
        part.id = rank;
        part.next = absorbed.next;
        absorbed.pair_rank = kNoRank;
        if (part.next != n) parts[part.next].previous = at;
        consider(at);
        if (at > 0) consider(part.previous);
    }
    for (std::uint32_t at = 0; at != n; at = parts[at].next)
        ids.push_back(parts[at].id);
}

}  // namespace baltoro
