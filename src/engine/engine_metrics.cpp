#include "engine/engine_metrics.h"

namespace baltoro {

LatencyHistogram latency_histogram() {
    LatencyHistogram histogram;
    histogram.bounds = {0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1200};
    return histogram;
}

}  // namespace baltoro
