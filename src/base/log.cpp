#include "base/log.h"

#include <cstdio>
#include <string>

namespace baltoro {

void log_line(std::string_view text) noexcept {
    try {
        const std::string line = std::string(text) + "\n";
        std::fwrite(line.data(), 1, line.size(), stderr);
    } catch (...) {
        std::fputs("out of memory while logging\n", stderr);
    }
}

void log_warning(std::string_view text) noexcept {
    try {
        log_line("warning: " + std::string(text));
    } catch (...) {
        std::fputs("out of memory while logging\n", stderr);
    }
}

}  // namespace baltoro
