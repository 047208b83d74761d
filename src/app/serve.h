#pragma once

#include "app/options.h"
#include "app/runtime.h"

namespace baltoro {

// Serves until SIGTERM or SIGINT: listens at once, loads the model meanwhile, and drains at the
// end; a second signal ends the process at once. Returns the exit code. Throws Error for everything
// that can be wrong with options, files or addresses. Main thread, before it has started others.
int serve(const ServeCommand& command, const DeviceMaker& make_device = {});

}  // namespace baltoro
