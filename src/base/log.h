#pragma once

#include <string_view>

namespace baltoro {

// Writes one line to stderr in a single write, so lines of different threads do not mix. Any
// thread.
void log_line(std::string_view text) noexcept;

// log_line with "warning: " in front.
void log_warning(std::string_view text) noexcept;

}  // namespace baltoro
