// `baltoro serve` with a model that says what a script tells it to: the same command line, with or
// without `serve`, and --script FILE. For tests of clients.
#include <cstdio>
#include <exception>
#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "app/options.h"
#include "app/serve.h"
#include "app/version.h"
#include "base/error.h"
#include "base/mapped_file.h"
#include "model/config.h"
#include "tests/clients/scripted_device.h"

namespace {

using namespace baltoro;
using testing::Script;
using testing::ScriptedDevice;

constexpr std::size_t kMaxScriptBytes = std::size_t{16} << 20;

struct Arguments {
    std::string script_file;
    std::vector<const char*> serve;
};

// Takes --script FILE out and puts the subcommand in.
Arguments arguments_of(int argc, char** argv) {
    Arguments arguments;
    arguments.serve = {argv[0], "serve"};
    for (int i = 1; i < argc; i++) {
        if (std::string_view(argv[i]) == "--script" && i + 1 < argc)
            arguments.script_file = argv[++i];
        else if (i > 1 || std::string_view(argv[i]) != "serve")
            arguments.serve.push_back(argv[i]);
    }
    if (arguments.script_file.empty()) throw Error("--script FILE is missing");
    return arguments;
}

int run(const Arguments& arguments) {
    const Command command = parse_command_line(static_cast<int>(arguments.serve.size()),
                                               arguments.serve.data(), version_text());
    if (const Finished* finished = std::get_if<Finished>(&command)) return finished->exit_code;
    const ServeCommand& serve_command = std::get<ServeCommand>(command);
    const std::string& model_dir = serve_command.runtime.model_dir;
    const Script script = Script::parse(read_small_file(arguments.script_file, kMaxScriptBytes),
                                        arguments.script_file);
    const Tokenizer tokenizer = Tokenizer::from_directory(model_dir);
    const int vocab_size = read_model_config(model_dir).vocab_size;
    return serve(serve_command, [&](numa::Team&, kernels::IsaLevel) {
        return std::make_unique<ScriptedDevice>(tokenizer, script, vocab_size);
    });
}

}  // namespace

int main(int argc, char** argv) {
    baltoro::guard_mapped_files();
    try {
        return run(arguments_of(argc, argv));
    } catch (const std::exception& error) {
        std::fprintf(stderr, "error: %s\n", error.what());
    }
    return 1;
}
