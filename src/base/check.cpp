#include "base/check.h"

#include <cstdio>
#include <cstdlib>

namespace baltoro {

void abort_on_broken_invariant(const char* message, const char* file, int line) noexcept {
    std::fprintf(stderr, "%s:%d: broken invariant: %s\n", file, line, message);
    std::fflush(stderr);
    std::abort();
}

}  // namespace baltoro
