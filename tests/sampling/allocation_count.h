#pragma once

namespace baltoro {

// How often `operator new` was called so far in this program.
long n_allocations();

}  // namespace baltoro
