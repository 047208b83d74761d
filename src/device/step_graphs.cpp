#include "device/step_graphs.h"

#include <algorithm>

namespace baltoro::device {

StepGraphs::Entry* StepGraphs::visit(const StepKey& key) {
    if (entries_.empty()) return nullptr;
    n_visits_++;
    Entry* oldest = &entries_.front();
    for (Entry& entry : entries_) {
        if (entry.last_visit < oldest->last_visit) oldest = &entry;
        if (entry.last_visit == 0 || entry.n_rows != key.n_rows || entry.n_splits != key.n_splits ||
            !std::equal(entry.logit_rows.begin(), entry.logit_rows.end(), key.logit_rows.begin(),
                        key.logit_rows.end()))
            continue;
        entry.last_visit = n_visits_;
        return &entry;
    }
    oldest->graph.reset();
    oldest->n_rows = key.n_rows;
    oldest->n_splits = key.n_splits;
    oldest->logit_rows.assign(key.logit_rows.begin(), key.logit_rows.end());
    oldest->last_visit = n_visits_;
    return nullptr;
}

void StepGraphs::clear() noexcept {
    for (Entry& entry : entries_) {
        entry.graph.reset();
        entry.last_visit = 0;
    }
}

}  // namespace baltoro::device
