#include "app/version.h"

#include <fmt/format.h>

#include "app/commit.h"
#include "cpu_kernels/isa.h"

namespace baltoro {

std::string version_text() {
    std::string levels;
    for (int level = 0; level <= static_cast<int>(kernels::IsaLevel::amx); level++)
        levels += fmt::format(" {}", kernels::isa_name(static_cast<kernels::IsaLevel>(level)));
    return fmt::format(
        "baltoro {} (commit {})\ncompiled for:{}; this machine runs up to {}, fastest: {}",
        kVersion, kCommit, levels, kernels::isa_name(kernels::highest_isa()),
        kernels::isa_name(kernels::best_isa()));
}

std::string commit_text() {
    return kCommit;
}

}  // namespace baltoro
