#include "base/log.h"

#include <atomic>
#include <cstdio>
#include <string>

namespace baltoro {
namespace {

// Where the process's lines go is a matter of the process, like stderr itself.
std::atomic<LogLineFormat> g_format{LogLineFormat::text};

std::string as_json(std::string_view text) {
    if (text.starts_with('{')) return std::string(text);
    std::string line = "{\"message\": \"";
    for (const char c : text) {
        if (c == '"' || c == '\\') line += '\\';
        line += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
    }
    return line + "\"}";
}

}  // namespace

void set_log_format(LogLineFormat format) noexcept {
    g_format.store(format, std::memory_order_relaxed);
}

void log_line(std::string_view text) noexcept {
    try {
        const bool is_json = g_format.load(std::memory_order_relaxed) == LogLineFormat::json;
        const std::string line = (is_json ? as_json(text) : std::string(text)) + "\n";
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
