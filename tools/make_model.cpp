#include "app/make_model.h"

#include <chrono>

#include <fmt/format.h>

#include "tools/commands.h"

namespace baltoro {

int run_command(const MakeModelCommand& command) {
    using Clock = std::chrono::steady_clock;
    const Clock::time_point start = Clock::now();
    const MadeModel made = make_model(command);
    const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
    const double gigabytes = static_cast<double>(made.n_bytes) * 1e-9;
    fmt::print("{}: {} tensors in {} shards, {:.2f} GB in {:.1f} s ({:.2f} GB/s)\n",
               command.out_dir, made.n_tensors, made.n_shards, gigabytes, seconds,
               gigabytes / seconds);
    return 0;
}

}  // namespace baltoro
