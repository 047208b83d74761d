#pragma once

namespace baltoro::testing {

// How often this executable has called operator new, on all threads.
int n_allocations();

}  // namespace baltoro::testing
