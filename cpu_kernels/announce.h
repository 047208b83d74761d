#pragma once

// Prefetches of weights. Always inlined, as must be whatever only calls these: g++ 12 takes a
// function that only prefetches for one without effects and drops calls of it.

#include <stddef.h>
#include <stdint.h>

namespace baltoro::kernels {
namespace {

// Localities of __builtin_prefetch.
constexpr int kFirstLevel = 3;
constexpr int kSecondLevel = 2;

template <ptrdiff_t Bytes, int Level>
__attribute__((always_inline)) inline void announce_lines(const uint8_t* at) {
#pragma GCC unroll 4
    for (ptrdiff_t line = 0; line < Bytes; line += 64)
        __builtin_prefetch(at + line, 0, Level);
}

// A group of weight rows is announced while the group before it is multiplied. Up to this many
// bytes of weights and of the activations they meet, the first cache level keeps it until it is
// used.
constexpr ptrdiff_t kNearBytes = 16 * 1024;

// Announces `Bytes` at each of W places into the first cache level, or else into the second: what
// the first loses on the way is read from memory again (gate+up of one row on Zen 4: 20 instead of
// 32 GB/s). `place(s)` gives the places.
template <int W, ptrdiff_t Bytes, class Place>
__attribute__((always_inline)) inline void announce(bool is_near, const Place& place) {
    if (is_near) {
#pragma GCC unroll 8
        for (int s = 0; s < W; ++s)
            announce_lines<Bytes, kFirstLevel>(place(s));
    } else {
#pragma GCC unroll 8
        for (int s = 0; s < W; ++s)
            announce_lines<Bytes, kSecondLevel>(place(s));
    }
}

}  // namespace
}  // namespace baltoro::kernels
