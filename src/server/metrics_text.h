#pragma once

#include <string>

#include "server/request_log.h"
#include "server/served_model.h"

namespace baltoro::server {

// Everything in Prometheus' text format (version 0.0.4), under the prefix "baltoro_". `model` is
// null while it is loading.
std::string metrics_text(const RequestCounters& counters,
                         const ServedModel* model,
                         const std::string& version);

}  // namespace baltoro::server
