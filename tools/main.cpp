#include <cstdio>
#include <exception>
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

}  // namespace

int main(int argc, char** argv) {
    baltoro::guard_mapped_files();
    try {
        const baltoro::Command command =
            baltoro::parse_command_line(argc, argv, baltoro::version_text());
        using ::run_command;
        using baltoro::run_command;
        return std::visit([](const auto& parsed) { return run_command(parsed); }, command);
    } catch (const baltoro::Error& error) {
        std::fprintf(stderr, "error: %s\n", error.what());
    } catch (const std::bad_alloc&) {
        std::fprintf(stderr, "error: out of memory\n");
    } catch (const std::exception& error) {
        std::fprintf(stderr, "error: unexpected: %s\n", error.what());
    }
    return 1;
}
