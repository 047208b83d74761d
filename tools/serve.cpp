#include "app/serve.h"

#include "tools/commands.h"

namespace baltoro {

int run_command(const ServeCommand& command) {
    return serve(command);
}

}  // namespace baltoro
