#pragma once

#include <string_view>

namespace baltoro {

// Writes one line to stderr in a single write, so lines of different threads do not mix. Any
// thread.
void log_line(std::string_view text) noexcept;

// How log_line writes: the text as it is, or {"message": TEXT} (a text that is a JSON object
// already stays as it is). Set once, before other threads log.
enum class LogLineFormat { text, json };
void set_log_format(LogLineFormat format) noexcept;

// log_line with "warning: " in front.
void log_warning(std::string_view text) noexcept;

}  // namespace baltoro
