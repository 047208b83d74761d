#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <exception>
#include <iostream>
#include <new>
#include <variant>

#include "app/options.h"
#include "app/version.h"
#include "base/error.h"
#include "base/mapped_file.h"
#include "tools/commands.h"

namespace {

int run_command(const baltoro::Finished& finished) {
    return finished.exit_code;
}

// A closed standard stream would give its number to the next file that is opened, and what is
// printed would land there. Read-only, so that printing fails.
void occupy_standard_streams() {
    int number = open("/dev/null", O_RDONLY);
    while (number >= 0 && number <= STDERR_FILENO)
        number = open("/dev/null", O_RDONLY);
    if (number >= 0) close(number);
}

// A full disk behind a redirection is a failure like any other.
void flush_output() {
    errno = 0;
    const bool failed = std::fflush(stdout) != 0 || std::ferror(stdout) != 0 || !std::cout.flush();
    if (!failed) return;
    if (errno == 0) throw baltoro::Error("standard output: cannot write");
    throw baltoro::system_error("standard output: cannot write", errno);
}

}  // namespace

int main(int argc, char** argv) {
    occupy_standard_streams();
    baltoro::guard_mapped_files();
    try {
        const baltoro::Command command =
            baltoro::parse_command_line(argc, argv, baltoro::version_text());
        using ::run_command;
        using baltoro::run_command;
        const int exit_code =
            std::visit([](const auto& parsed) { return run_command(parsed); }, command);
        flush_output();
        return exit_code;
    } catch (const baltoro::Error& error) {
        std::fprintf(stderr, "error: %s\n", error.what());
    } catch (const std::bad_alloc&) {
        std::fprintf(stderr, "error: out of memory\n");
    } catch (const std::exception& error) {
        std::fprintf(stderr, "error: unexpected: %s\n", error.what());
    }
    return 1;
}
