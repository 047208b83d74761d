#pragma once

#include <cstdio>
#include <string_view>

namespace baltoro {

// Writes to standard output at once, also where that is no terminal: who waits sees each part.
inline void write_out(std::string_view text) {
    std::fwrite(text.data(), 1, text.size(), stdout);
    std::fflush(stdout);
}

}  // namespace baltoro
