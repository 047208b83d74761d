#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "sampling/grammar.h"

namespace baltoro {

// Follows a grammar byte by byte. A place in a text is the set of all pairs of grammar state and
// call stack that the bytes so far can lead to. Places and the steps between them are remembered,
// so that a step that was taken once is a look-up: walking a whole vocabulary from inside a string
// takes a millisecond or two. Stacks share their lower parts.
//
// Memory is fixed at construction. When it is full, steps to new places lead nowhere: fewer texts
// are accepted then, never wrong ones; `make_room` forgets all but one place. One owner, one
// thread.
class GrammarAutomaton {
  public:
    using Place = std::uint16_t;
    static constexpr Place kNowhere = 0;  // no text of the grammar begins so

    // The grammar must outlive the automaton.
    explicit GrammarAutomaton(const Grammar& grammar);

    // Back to the beginning of a text; forgets everything.
    Place restart() noexcept;

    Place step(Place place, std::uint8_t byte) noexcept {
        const Place next = steps_[place * n_classes_ + grammar_.class_of_byte[byte]];
        return next != kUnknown ? next : take_step(place, byte);
    }

    // Whether the text so far is one of the grammar.
    bool is_complete(Place place) const noexcept { return places_[place].is_complete; }

    // To be called between walks, which need free memory. Forgets every place but one if too much
    // is in use, and returns what that one is called then.
    Place make_room(Place place, bool& has_forgotten) noexcept;

  private:
    static constexpr Place kUnknown = 0xffff;
    static constexpr std::size_t kMaxPlaces = 4096;
    static constexpr std::size_t kMaxPairs = 1 << 16;   // of all places together
    static constexpr std::size_t kMaxStacks = 1 << 15;  // frames
    // Of one place, those passed on the way included. Only ambiguous schemas come close.
    static constexpr std::size_t kMaxReached = 4096;

    // Where the grammar may be: a state and the frame to return to (0: none, the text ends).
    struct Pair {
        GrammarStateId state;
        std::uint32_t frame;
        friend auto operator<=>(const Pair&, const Pair&) = default;
    };
    // A call's return; frames below have lower numbers.
    struct Frame {
        GrammarStateId return_to;
        std::uint32_t below;
    };
    struct PlaceEntry {
        std::uint32_t first_pair = 0;
        std::uint32_t n_pairs = 0;
        bool is_complete = false;
    };

    void forget_all() noexcept;
    Place take_step(Place place, std::uint8_t byte) noexcept;
    // Adds a pair to those reached, unless it is there or there are too many.
    void reach(Pair pair) noexcept;
    // Follows calls, ends and epsilon edges from what is reached, and finds or makes the place.
    Place place_of_reached() noexcept;
    Place place_of_kept() noexcept;
    void expand(Pair pair) noexcept;
    // The frame that returns to `state` and then to `below`, or kNoFrame if memory is full.
    std::uint32_t frame_of(GrammarStateId state, std::uint32_t below) noexcept;
    void keep_frames_of(std::span<Pair> pairs) noexcept;

    static constexpr std::uint32_t kNoFrame = 0xffffffff;

    const Grammar& grammar_;
    std::size_t n_classes_;
    std::vector<std::uint8_t> has_bytes_;       // per state: it has an edge of bytes
    std::vector<std::uint8_t> is_only_end_;     // per state: it is an end without edges
    std::vector<Place> steps_;                  // [kMaxPlaces, n_classes]
    std::vector<PlaceEntry> places_;            // place 0 is nowhere
    std::vector<Pair> pairs_;                   // of all places
    std::vector<Frame> frames_;                 // frame 0 stands for none
    std::vector<std::uint16_t> place_slots_;    // hash tables, open addressing, 0: free
    std::vector<std::uint32_t> frame_slots_;    // frame numbers
    std::vector<std::uint32_t> reached_slots_;  // index in reached_ and one more
    std::vector<Pair> reached_;
    std::vector<Pair> kept_;  // of the place being made
    bool is_complete_ = false;
    std::size_t most_frames_ = kMaxStacks / 2;  // until make_room forgets
};

}  // namespace baltoro
