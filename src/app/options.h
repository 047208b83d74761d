#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace baltoro {

// Where and how a model runs; shared by the subcommands that load one.
struct RuntimeOptions {
    std::string model_dir;
    std::string device = "auto";    // auto, cpu, cuda, emulated
    int gpu = 0;                    // index of the CUDA device
    std::string gpu_experts = "0";  // routed experts of each layer on the GPU, or auto
    int gpu_graphs = 16;            // kinds of decode steps kept as graphs of kernels
    double gpu_memory_gb = 0.0;     // most memory to use of it; 0: what is free
    std::string isa = "auto";       // auto, or a level's name
    std::string experts = "auto";   // auto, mapped, copied
    int threads = 0;                // 0: one per physical core
    int context_size = 0;           // 0: the checkpoint's max_position_embeddings
    int chunk = 0;                  // most tokens of a prefill step; 0: as the model needs
    int kv_tokens = 0;              // tokens that the KV cache holds; 0: one context
};

struct RunCommand {
    RuntimeOptions runtime;
    std::optional<std::string> prompt;
    std::string prompt_file;
    std::string system;
    bool raw = false;
    int max_tokens = 0;
    std::optional<double> temperature;
    std::optional<double> top_p;
    std::optional<int> top_k;
    double min_p = 0.0;
    std::optional<std::uint64_t> seed;
    std::string stats_file;
};

struct ServeCommand {
    RuntimeOptions runtime;
    std::string host = "127.0.0.1";
    int port = 8080;
    std::string unix_socket;
    std::vector<std::string> allowed_hosts;
    std::vector<std::string> allowed_origins;
    std::vector<std::string> api_keys;
    std::string api_key_file;
    int max_connections = 1024;
    int body_memory_mb = 256;
    std::string alias;
    bool strict_model = false;
    int n_parallel = 4;
    int max_queue = 64;
    int drain_s = 30;
    std::string log_format = "text";  // text, json
    bool quiet = false;
};

struct BenchCommand {
    RuntimeOptions runtime;
    std::vector<int> prompt_tokens{512};
    std::vector<int> generated_tokens{128};
    std::vector<int> depths{0};
    int n_repetitions = 5;
    bool no_warm_up = false;
    std::uint64_t seed = 1;
    std::string output = "md";  // md, csv, json, jsonl
};

struct EvalCommand {
    RuntimeOptions runtime;
    std::string tokens_file;
    std::string text_file;
    std::string out_file;
    bool reference = false;
};

struct TokenizeCommand {
    std::string model_dir;
    std::optional<std::string> text;  // absent: standard input
    std::optional<std::string> ids;
    bool special = false;
};

struct RenderCommand {
    std::string model_dir;
    std::string messages_file;
    std::string tools_file;
    bool no_generation_prompt = false;
    bool no_thinking = false;
};

struct ParseCommand {
    std::string model_dir;
    std::string tools_file;
    bool thinking = false;
};

struct InspectCommand {
    std::string model_dir;
    bool json = false;
};

struct MakeModelCommand {
    std::string shape;
    std::string out_dir;
    std::uint64_t seed = 1;
    int layers = 0;   // 0: the shape's own
    int experts = 0;  // 0: the shape's own
    int threads = 0;  // 0: one per core
};

// The command line was answered already (--help, --version) or refused; the process ends with this.
struct Finished {
    int exit_code = 0;
};

using Command = std::variant<Finished,
                             RunCommand,
                             ServeCommand,
                             BenchCommand,
                             EvalCommand,
                             TokenizeCommand,
                             RenderCommand,
                             ParseCommand,
                             InspectCommand,
                             MakeModelCommand>;

// Reads the command line. Prints help, version or one line on what is wrong itself.
Command parse_command_line(int argc, const char* const* argv, std::string_view version_text);

}  // namespace baltoro
