#include "engine/held_pages.h"

#include <algorithm>

namespace baltoro {

void HeldPages::update(const PrefixCache& cache) {
    if (cache.version() == version_) return;
    version_ = cache.version();
    cache.list_held(hashes_);
    std::sort(hashes_.begin(), hashes_.end());
}

int HeldPages::n_shared_by(const Sequence& sequence) const {
    const int n_most = n_reusable_tokens(sequence) / device::kPageTokens;
    std::uint64_t hash = kRootHash;
    for (int page_idx = 0; page_idx < n_most; page_idx++) {
        hash = hash_page(hash, page_content(sequence, page_idx));
        if (!std::binary_search(hashes_.begin(), hashes_.end(), hash)) return page_idx;
    }
    return n_most;
}

}  // namespace baltoro
