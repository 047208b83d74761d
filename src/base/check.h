#pragma once

namespace baltoro {

// Prints "FILE:LINE: broken invariant: MESSAGE" to stderr and aborts. Any thread.
[[noreturn]] void abort_on_broken_invariant(const char* message,
                                            const char* file,
                                            int line) noexcept;

// States what must hold if our own code is right; kept in every build. Failures of the world
// (files, devices, memory, user input) throw Error instead.
inline void check(bool condition,
                  const char* what_must_hold,
                  const char* file = __builtin_FILE(),
                  int line = __builtin_LINE()) noexcept {
    if (!condition) abort_on_broken_invariant(what_must_hold, file, line);
}

}  // namespace baltoro
