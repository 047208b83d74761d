#include "sampling/grammar_automaton.h"

#include <algorithm>

namespace baltoro {
namespace {

using Kind = GrammarEdge::Kind;

constexpr std::uint64_t kMultiplier = 0x9e3779b97f4a7c15ull;

std::uint64_t mixed(std::uint64_t hash, std::uint64_t value) noexcept {
    hash = (hash ^ value) * kMultiplier;
    return hash ^ (hash >> 29);
}

std::uint64_t joined(std::uint32_t high, std::uint32_t low) noexcept {
    return static_cast<std::uint64_t>(high) << 32 | low;
}

}  // namespace

GrammarAutomaton::GrammarAutomaton(const Grammar& grammar)
    : grammar_(grammar),
      n_classes_(grammar.byte_of_class.size()),
      has_bytes_(grammar.n_states(), 0),
      is_only_end_(grammar.n_states(), 0),
      steps_(kMaxPlaces * n_classes_),
      place_slots_(2 * kMaxPlaces),
      frame_slots_(2 * kMaxStacks),
      reached_slots_(2 * kMaxReached) {
    for (GrammarStateId state = 0; state < grammar.n_states(); ++state) {
        const auto edges = grammar.edges_of(state);
        is_only_end_[state] = grammar.is_end[state] != 0 && edges.empty();
        has_bytes_[state] = std::any_of(edges.begin(), edges.end(), [](const GrammarEdge& edge) {
            return edge.kind == Kind::bytes;
        });
    }
    places_.reserve(kMaxPlaces);
    pairs_.reserve(kMaxPairs);
    frames_.reserve(kMaxStacks);
    reached_.reserve(kMaxReached);
    kept_.reserve(kMaxReached);
}

void GrammarAutomaton::forget_all() noexcept {
    std::fill(place_slots_.begin(), place_slots_.end(), 0);
    places_.assign(1, {});
    pairs_.clear();
    std::fill_n(steps_.begin(), n_classes_, kNowhere);
}

GrammarAutomaton::Place GrammarAutomaton::restart() noexcept {
    forget_all();
    frames_.assign(1, {});
    most_frames_ = kMaxStacks / 2;
    std::fill(frame_slots_.begin(), frame_slots_.end(), 0);
    reach({grammar_.start, 0});
    return place_of_reached();
}

GrammarAutomaton::Place GrammarAutomaton::take_step(Place place, std::uint8_t byte) noexcept {
    const PlaceEntry entry = places_[place];
    for (std::uint32_t i = 0; i < entry.n_pairs; ++i) {
        const Pair pair = pairs_[entry.first_pair + i];
        for (const GrammarEdge& edge : grammar_.edges_of(pair.state))
            if (edge.kind == Kind::bytes && byte >= edge.lowest && byte <= edge.highest)
                reach({edge.target, pair.frame});
    }
    const Place next = place_of_reached();
    steps_[place * n_classes_ + grammar_.class_of_byte[byte]] = next;
    return next;
}

void GrammarAutomaton::reach(Pair pair) noexcept {
    if (reached_.size() == kMaxReached) return;
    const std::size_t mask = reached_slots_.size() - 1;
    std::size_t slot = mixed(kMultiplier, joined(pair.frame, pair.state)) & mask;
    for (; reached_slots_[slot] != 0; slot = (slot + 1) & mask)
        if (reached_[reached_slots_[slot] - 1] == pair) return;
    reached_.push_back(pair);
    reached_slots_[slot] = static_cast<std::uint32_t>(reached_.size());
}

void GrammarAutomaton::expand(Pair pair) noexcept {
    if (has_bytes_[pair.state] != 0) kept_.push_back(pair);
    if (grammar_.is_end[pair.state] != 0) {
        if (pair.frame == 0)
            is_complete_ = true;
        else
            reach({frames_[pair.frame].return_to, frames_[pair.frame].below});
    }
    for (const GrammarEdge& edge : grammar_.edges_of(pair.state)) {
        if (edge.kind == Kind::epsilon) reach({edge.target, pair.frame});
        if (edge.kind != Kind::call) continue;
        // A call that the rule ends with needs no frame of its own.
        const std::uint32_t frame =
            is_only_end_[edge.target] != 0 ? pair.frame : frame_of(edge.target, pair.frame);
        if (frame != kNoFrame) reach({edge.callee, frame});
    }
}

GrammarAutomaton::Place GrammarAutomaton::place_of_reached() noexcept {
    kept_.clear();
    is_complete_ = false;
    for (std::size_t i = 0; i < reached_.size(); ++i)
        expand(reached_[i]);
    // Few slots are in use after most steps, so they are cleared one by one.
    const std::size_t reached_mask = reached_slots_.size() - 1;
    for (const Pair& pair : reached_) {
        std::size_t slot = mixed(kMultiplier, joined(pair.frame, pair.state)) & reached_mask;
        for (; reached_slots_[slot] != 0; slot = (slot + 1) & reached_mask)
            reached_slots_[slot] = 0;
    }
    reached_.clear();
    std::sort(kept_.begin(), kept_.end());
    return place_of_kept();
}

GrammarAutomaton::Place GrammarAutomaton::place_of_kept() noexcept {
    if (kept_.empty() && !is_complete_) return kNowhere;
    std::uint64_t hash = is_complete_ ? 1 : 0;
    for (const Pair& pair : kept_)
        hash = mixed(hash, joined(pair.frame, pair.state));
    const std::size_t mask = place_slots_.size() - 1;
    std::size_t slot = hash & mask;
    for (; place_slots_[slot] != 0; slot = (slot + 1) & mask) {
        const PlaceEntry& entry = places_[place_slots_[slot]];
        if (entry.is_complete == is_complete_ && entry.n_pairs == kept_.size() &&
            std::equal(kept_.begin(), kept_.end(), pairs_.begin() + entry.first_pair))
            return place_slots_[slot];
    }
    if (places_.size() == kMaxPlaces || pairs_.size() + kept_.size() > kMaxPairs) return kNowhere;
    const auto place = static_cast<Place>(places_.size());
    places_.push_back({static_cast<std::uint32_t>(pairs_.size()),
                       static_cast<std::uint32_t>(kept_.size()), is_complete_});
    pairs_.insert(pairs_.end(), kept_.begin(), kept_.end());
    place_slots_[slot] = place;
    std::fill_n(steps_.begin() + static_cast<std::ptrdiff_t>(place * n_classes_), n_classes_,
                kUnknown);
    return place;
}

std::uint32_t GrammarAutomaton::frame_of(GrammarStateId state, std::uint32_t below) noexcept {
    const std::size_t mask = frame_slots_.size() - 1;
    std::size_t slot = mixed(kMultiplier, joined(below, state)) & mask;
    for (; frame_slots_[slot] != 0; slot = (slot + 1) & mask) {
        const Frame& frame = frames_[frame_slots_[slot]];
        if (frame.return_to == state && frame.below == below) return frame_slots_[slot];
    }
    if (frames_.size() == kMaxStacks) return kNoFrame;
    frames_.push_back({state, below});
    frame_slots_[slot] = static_cast<std::uint32_t>(frames_.size() - 1);
    return frame_slots_[slot];
}

GrammarAutomaton::Place GrammarAutomaton::make_room(Place place, bool& has_forgotten) noexcept {
    has_forgotten = places_.size() > kMaxPlaces / 2 || pairs_.size() > kMaxPairs / 2 ||
                    frames_.size() > most_frames_;
    if (!has_forgotten || place == kNowhere) return place;
    const PlaceEntry entry = places_[place];
    const auto first = pairs_.begin() + entry.first_pair;
    kept_.assign(first, first + entry.n_pairs);
    is_complete_ = entry.is_complete;
    forget_all();
    keep_frames_of(kept_);  // in the same order, so that kept_ stays sorted
    // Deeply nested texts need more than half, and are not to be moved at every token.
    most_frames_ = std::max(kMaxStacks / 2, (frames_.size() + kMaxStacks) / 2);
    return place_of_kept();
}

void GrammarAutomaton::keep_frames_of(std::span<Pair> pairs) noexcept {
    // Frames lie below those that return to them, so one pass down marks and one up moves. Free
    // slots of the hash table, which is made again, hold the marks and then the new numbers.
    std::vector<std::uint32_t>& moved = frame_slots_;
    std::fill(moved.begin(), moved.end(), 0);
    for (const Pair& pair : pairs)
        moved[pair.frame] = 1;
    for (std::size_t i = frames_.size(); i-- > 1;)
        if (moved[i] != 0) moved[frames_[i].below] = 1;
    std::uint32_t n = 1;
    moved[0] = 0;
    for (std::size_t i = 1; i < frames_.size(); ++i) {
        if (moved[i] == 0) continue;
        frames_[n] = {frames_[i].return_to, moved[frames_[i].below]};
        moved[i] = n++;
    }
    for (Pair& pair : pairs)
        pair.frame = moved[pair.frame];
    std::fill(moved.begin(), moved.end(), 0);
    frames_.resize(n);
    const std::size_t mask = frame_slots_.size() - 1;
    for (std::uint32_t i = 1; i < n; ++i) {
        std::size_t slot =
            mixed(kMultiplier, joined(frames_[i].below, frames_[i].return_to)) & mask;
        while (frame_slots_[slot] != 0)
            slot = (slot + 1) & mask;
        frame_slots_[slot] = i;
    }
}

}  // namespace baltoro
