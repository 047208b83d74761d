#include <cstdio>
#include <string>

#include "model/inspect.h"
#include "tools/commands.h"

namespace baltoro {

int run_command(const InspectCommand& command) {
    const ModelConfig config = read_model_config(command.model_dir);
    const Checkpoint checkpoint(command.model_dir);
    const InspectReport report = inspect_checkpoint(config, checkpoint);
    const std::string text = command.json ? to_json(report) : to_text(report);
    std::fwrite(text.data(), 1, text.size(), stdout);
    return report.tensors.is_complete() ? 0 : 1;
}

}  // namespace baltoro
