#include <cstdio>
#include <string>

#include "base/error.h"
#include "base/mapped_file.h"
#include "text/chat_template.h"
#include "tools/commands.h"

namespace baltoro {

int run_command(const RenderCommand& command) {
    constexpr std::size_t kMaxBytes = std::size_t{1} << 28;
    const ChatFormat format = chat_format_of(command.model_dir);
    const std::string messages = read_small_file(command.messages_file, kMaxBytes);
    const std::string tools =
        command.tools_file.empty() ? "" : read_small_file(command.tools_file, kMaxBytes);
    const ChatOptions options{!command.no_generation_prompt, !command.no_thinking};
    try {
        const std::string prompt = prompt_text(render_chat(format, messages, tools, options));
        std::fwrite(prompt.data(), 1, prompt.size(), stdout);
    } catch (const Error& error) {
        throw with_context(command.messages_file +
                               (command.tools_file.empty() ? "" : " with " + command.tools_file),
                           error);
    }
    return 0;
}

}  // namespace baltoro
