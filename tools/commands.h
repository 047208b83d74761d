#pragma once

#include "app/options.h"

namespace baltoro {

// One function per subcommand of `baltoro`; each returns the process's exit code and may throw
// Error.
int run_command(const RunCommand& command);
int run_command(const ServeCommand& command);
int run_command(const BenchCommand& command);
int run_command(const EvalCommand& command);
int run_command(const TokenizeCommand& command);
int run_command(const RenderCommand& command);
int run_command(const ParseCommand& command);
int run_command(const InspectCommand& command);
int run_command(const MakeModelCommand& command);

}  // namespace baltoro
