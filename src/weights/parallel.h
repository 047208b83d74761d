#pragma once

#include <cstddef>
#include <functional>

namespace baltoro {

// Calls work(i) for i in [0, n) on up to `n_threads` threads (the caller's is one of them), lower
// indices first. Waits for all; then rethrows the exception of the lowest index that failed, if
// any. After a failure no new index is started. For loading and writing files; not for decoding.
void for_each_index(std::size_t n, int n_threads, const std::function<void(std::size_t)>& work);

}  // namespace baltoro
