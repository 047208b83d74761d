#include "app/options.h"

#include <iostream>
#include <memory>

#include <CLI/CLI.hpp>

namespace baltoro {
namespace {

void add_model(CLI::App& app, std::string& model_dir) {
    app.add_option("--model", model_dir, "Directory of the checkpoint, as downloaded from the hub")
        ->required()
        ->type_name("DIR");
}

void add_runtime(CLI::App& app, RuntimeOptions& options) {
    add_model(app, options.model_dir);
    app.add_option("--ctx-size", options.context_size,
                   "Tokens of context; 0 (default): the checkpoint's max_position_embeddings")
        ->check(CLI::Range(0, 1 << 24))
        ->type_name("N");
    app.add_option("--threads", options.threads,
                   "Worker threads; 0 (default): one per physical core")
        ->check(CLI::Range(0, 1024))
        ->type_name("N");
    app.add_option("--isa", options.isa,
                   "Instruction set: auto (default, the fastest of this machine), scalar, avx2, "
                   "avx512, avx512_bf16, amx")
        ->type_name("LEVEL");
    app.add_option("--device", options.device,
                   "Where attention, shared and dense layers run: auto (default: a CUDA device "
                   "where there is one), cpu, cuda, or emulated (the GPU's kernels on the CPU, "
                   "slowly, for tests)")
        ->check(CLI::IsMember({"auto", "cpu", "cuda", "emulated"}))
        ->type_name("NAME");
    app.add_option("--gpu", options.gpu, "Index of the CUDA device; default 0")
        ->check(CLI::Range(0, 255))
        ->type_name("N");
    app.add_option("--gpu-memory", options.gpu_memory_gb,
                   "Most memory to use of the GPU, in GB; 0 (default): what is free")
        ->check(CLI::Range(0.0, 1e6))
        ->type_name("GB");
    app.add_option(
           "--gpu-experts", options.gpu_experts,
           "Routed experts of each layer that live on the GPU, the most used ones: a number "
           "(default 0) or auto (as many as its memory takes). They move between requests, "
           "which may change last bits")
        ->check(CLI::IsMember({"auto"}) | CLI::Range(0, 1 << 16))
        ->type_name("N");
    app.add_option("--gpu-graphs", options.gpu_graphs,
                   "Kinds of decode steps (by answers at once and length of the context) whose GPU "
                   "kernels are recorded and started together, as far as its memory goes; 0: each "
                   "by itself; default 16")
        ->check(CLI::Range(0, 1024))
        ->type_name("N");
    app.add_option(
           "--experts", options.experts,
           "Routed experts: mapped (read where the checkpoint lies; starts at once), copied "
           "(to 2 MB pages of the NUMA nodes that compute them) or auto (default: copied "
           "where there are several nodes and the memory for it)")
        ->check(CLI::IsMember({"auto", "mapped", "copied"}))
        ->type_name("WHERE");
    app.add_option("--chunk", options.chunk,
                   "Most tokens of one prefill step; default 512 to 2048, more for more experts")
        ->check(CLI::Range(1, 1 << 16))
        ->type_name("N");
}

CLI::App* add_run(CLI::App& app, RunCommand& command) {
    CLI::App* run = app.add_subcommand("run", "Answer one prompt, or chat when no prompt is given")
                        ->group("Run a model");
    add_runtime(*run, command.runtime);
    auto* prompt =
        run->add_option("--prompt", command.prompt, "The user's message")->type_name("TEXT");
    run->add_option("--prompt-file", command.prompt_file,
                    "Read the user's message from a file (- is standard input)")
        ->excludes(prompt)
        ->type_name("FILE");
    run->add_option("--system", command.system, "System message; default: the chat template's own")
        ->type_name("TEXT");
    run->add_flag("--raw", command.raw,
                  "Continue the prompt as plain text, without the chat template");
    run->add_option("-n,--max-tokens", command.max_tokens,
                    "Most tokens of an answer; 0 (default): until the model stops")
        ->check(CLI::Range(0, 1 << 24))
        ->type_name("N");
    run->add_option("--temperature", command.temperature,
                    "0 is greedy; default: the checkpoint's, else 0.6")
        ->type_name("T");
    run->add_option("--top-p", command.top_p,
                    "Most likely tokens up to this probability; default: the checkpoint's, else 1")
        ->type_name("P");
    run->add_option("--top-k", command.top_k,
                    "Only the K most likely tokens; 0: all; default: the checkpoint's, else 0")
        ->type_name("K");
    run->add_option("--min-p", command.min_p,
                    "Drop tokens below M times the largest probability; default 0")
        ->type_name("M");
    run->add_option("--seed", command.seed, "Seed of the draw; default: another one every time")
        ->type_name("S");
    run->add_option("--stats", command.stats_file, "Write the speed figures as JSON")
        ->type_name("FILE");
    return run;
}

void add_network(CLI::App& serve, ServeCommand& command) {
    const std::string network = "Network";
    serve
        .add_option("--host", command.host,
                    "Address to listen on; default 127.0.0.1; an empty one: none")
        ->group(network)
        ->type_name("ADDRESS");
    serve.add_option("--port", command.port, "Port; default 8080; 0: any free one")
        ->check(CLI::Range(0, 65535))
        ->group(network)
        ->type_name("N");
    serve
        .add_option("--unix-socket", command.unix_socket,
                    "Listen on a unix socket, too (default: none)")
        ->group(network)
        ->type_name("PATH");
    serve
        .add_option("--allowed-host", command.allowed_hosts,
                    "Host header that is accepted beside loopback names; may be repeated")
        ->group(network)
        ->type_name("NAME");
    serve
        .add_option("--allowed-origin", command.allowed_origins,
                    "Origin of web pages that may call; may be repeated (default: none)")
        ->group(network)
        ->type_name("ORIGIN");
    serve
        .add_option("--api-key", command.api_keys,
                    "Key that clients must send; may be repeated (default: none is asked for)")
        ->group(network)
        ->type_name("KEY");
    serve.add_option("--api-key-file", command.api_key_file, "File with one key per line")
        ->group(network)
        ->type_name("FILE");
    serve
        .add_option("--max-connections", command.max_connections,
                    "Connections at once; one more ends the one that has been idle longest, or "
                    "gets 503 (default 1024)")
        ->check(CLI::Range(1, 1 << 20))
        ->group(network)
        ->type_name("N");
    serve
        .add_option("--body-memory", command.body_memory_mb,
                    "Megabytes of request bodies held at once over all connections; what does "
                    "not fit gets 503 (default 256; one body has 64 at most)")
        ->check(CLI::Range(1, 1 << 20))
        ->group(network)
        ->type_name("MB");
}

CLI::App* add_serve(CLI::App& app, ServeCommand& command) {
    CLI::App* serve =
        app.add_subcommand("serve", "Serve OpenAI- and Anthropic-compatible APIs on this machine")
            ->group("Run a model");
    add_runtime(*serve, command.runtime);
    add_network(*serve, command);
    const std::string answers = "Answers";
    serve
        ->add_option("--alias", command.alias,
                     "Name of the model for clients; default: the directory's")
        ->group(answers)
        ->type_name("NAME");
    serve
        ->add_flag("--strict-model", command.strict_model,
                   "Refuse requests for other names (default: any name is answered)")
        ->group(answers);
    serve->add_option("--parallel", command.n_parallel, "Answers written at once; default 4")
        ->check(CLI::Range(1, 256))
        ->group(answers)
        ->type_name("N");
    serve
        ->add_option("--max-queue", command.max_queue,
                     "Requests that may wait; more get 503 (default 64)")
        ->check(CLI::Range(0, 100000))
        ->group(answers)
        ->type_name("N");
    serve
        ->add_option("--kv-tokens", command.runtime.kv_tokens,
                     "Tokens that the KV cache holds for all answers and kept prefixes; 0 "
                     "(default): one context")
        ->check(CLI::Range(0, 1 << 28))
        ->group(answers)
        ->type_name("N");
    const std::string operation = "Operation";
    serve
        ->add_option("--drain-timeout", command.drain_s,
                     "Seconds that answers have left after SIGTERM; default 30")
        ->check(CLI::Range(0, 86400))
        ->group(operation)
        ->type_name("S");
    serve->add_option("--log-format", command.log_format, "text (default) or json")
        ->check(CLI::IsMember({"text", "json"}))
        ->group(operation)
        ->type_name("NAME");
    serve->add_flag("--quiet", command.quiet, "No line per request (default: one)")
        ->group(operation);
    return serve;
}

CLI::App* add_bench(CLI::App& app, BenchCommand& command) {
    CLI::App* bench =
        app.add_subcommand("bench", "Speed of prefill and decoding at given depths, as a table")
            ->group("Run a model");
    add_runtime(*bench, command.runtime);
    const auto add_list = [&](const std::string& name, std::vector<int>& list, const char* text) {
        bench->add_option(name, list, text)
            ->delimiter(',')
            ->check(CLI::Range(0, 1 << 24))
            ->type_name("N,N");
    };
    add_list("-p,--prompt-tokens", command.prompt_tokens,
             "Prompts to prefill; default 512; 0: none");
    add_list("-n,--generated-tokens", command.generated_tokens,
             "Tokens to decode; default 128; 0: none");
    add_list("-d,--depths", command.depths, "Tokens in the cache before; default 0");
    bench->add_option("-r,--repetitions", command.n_repetitions, "Of every test; default 5")
        ->check(CLI::Range(1, 1000))
        ->type_name("N");
    bench->add_flag("--no-warm-up", command.no_warm_up,
                    "No uncounted run before them (default: one)");
    bench->add_option("--seed", command.seed, "Seed of the random tokens; default 1")
        ->type_name("S");
    bench->add_option("-o,--output", command.output, "md (default), csv, json or jsonl")
        ->check(CLI::IsMember({"md", "csv", "json", "jsonl"}))
        ->type_name("FORMAT");
    return bench;
}

// Every option can also be given in the environment: --ctx-size is BALTORO_CTX_SIZE.
void name_environment(CLI::App& app) {
    for (CLI::App* subcommand : app.get_subcommands([](CLI::App*) { return true; })) {
        for (CLI::Option* option : subcommand->get_options()) {
            std::string name = option->get_lnames().empty() ? "" : option->get_lnames()[0];
            if (name.empty() || name == "help") continue;
            for (char& c : name)
                c = c == '-' ? '_' : static_cast<char>(c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c);
            option->envname("BALTORO_" + name);
        }
    }
}

CLI::App* add_eval(CLI::App& app, EvalCommand& command) {
    CLI::App* eval =
        app.add_subcommand(
               "eval",
               "Logits, hidden states and routed experts of given tokens, or a text's perplexity")
            ->group("Run a model");
    add_runtime(*eval, command.runtime);
    auto* tokens = eval->add_option("--tokens", command.tokens_file, "JSON list of token ids")
                       ->type_name("FILE.json");
    auto* text =
        eval->add_option("--text", command.text_file, "Print the perplexity of this text instead")
            ->type_name("FILE");
    tokens->excludes(text);
    eval->add_option("--out", command.out_file,
                     "Write logits [T, vocab], hidden [L, T, H], routed_experts [L_moe, T, k]")
        ->needs(tokens)
        ->type_name("FILE.safetensors");
    eval->add_flag("--reference", command.reference,
                   "Run the double-precision reference model instead");
    return eval;
}

CLI::App* add_tokenize(CLI::App& app, TokenizeCommand& command) {
    CLI::App* tokenize =
        app.add_subcommand("tokenize",
                           "Token ids of a text (argument or standard input), or the text of ids")
            ->group("Look inside");
    add_model(*tokenize, command.model_dir);
    tokenize->add_flag(
        "--special", command.special,
        "Spellings of special tokens in the text become their ids (default: plain text)");
    auto* ids = tokenize->add_option("--ids", command.ids, "Print the text of these ids: 1,2,3")
                    ->type_name("LIST");
    tokenize->add_option("text", command.text, "The text; default: standard input")->excludes(ids);
    return tokenize;
}

CLI::App* add_render(CLI::App& app, RenderCommand& command) {
    CLI::App* render =
        app.add_subcommand("render", "The exact prompt of a conversation")->group("Look inside");
    add_model(*render, command.model_dir);
    render->add_option("--messages", command.messages_file, "JSON list of messages")
        ->required()
        ->type_name("FILE.json");
    render
        ->add_option("--tools", command.tools_file, "JSON list of tool declarations; default: none")
        ->type_name("FILE.json");
    render->add_flag("--no-generation-prompt", command.no_generation_prompt,
                     "End after the last message (default: open the answer)");
    render->add_flag("--no-thinking", command.no_thinking,
                     "K2.5 in instant mode (default: thinking)");
    return render;
}

CLI::App* add_parse(CLI::App& app, ParseCommand& command) {
    CLI::App* parse =
        app.add_subcommand("parse",
                           "Content, reasoning and tool calls of an answer: a JSON list of its "
                           "text's chunks on standard input")
            ->group("Look inside");
    add_model(*parse, command.model_dir);
    parse
        ->add_option("--tools", command.tools_file, "JSON list of tool declarations; default: none")
        ->type_name("FILE.json");
    parse->add_flag("--thinking", command.thinking,
                    "The prompt asked for thinking: K2.5's answers start inside the reasoning "
                    "(default: reasoning starts at <think>)");
    return parse;
}

CLI::App* add_inspect(CLI::App& app, InspectCommand& command) {
    CLI::App* inspect =
        app.add_subcommand("inspect", "Configuration, sizes and completeness of a checkpoint")
            ->group("Look inside");
    add_model(*inspect, command.model_dir);
    inspect->add_flag("--json", command.json, "Print JSON (default: text)");
    return inspect;
}

CLI::App* add_make_model(CLI::App& app, MakeModelCommand& command) {
    CLI::App* make =
        app.add_subcommand("make-model", "Write a random checkpoint in the Hugging Face layout")
            ->group("Make");
    make->add_option(
            "--shape", command.shape,
            "k2-tiny, k2-mini (3.1 GB), k2-layer (true dimensions, few layers) or k2 (1 TB)")
        ->required()
        ->type_name("NAME");
    make->add_option("--out", command.out_dir, "New or empty directory")
        ->required()
        ->type_name("DIR");
    make->add_option("--seed", command.seed, "Seed of the values; default 1")->type_name("N");
    make->add_option("--layers", command.layers, "Layers in all; 0 (default): the shape's own")
        ->check(CLI::Range(0, 1000))
        ->type_name("N");
    make->add_option("--experts", command.experts,
                     "Routed experts per layer; 0 (default): the shape's own")
        ->check(CLI::Range(0, 100000))
        ->type_name("N");
    make->add_option("--threads", command.threads, "Writers; 0 (default): one per core")
        ->check(CLI::Range(0, 1024))
        ->type_name("N");
    return make;
}

}  // namespace

Command parse_command_line(int argc, const char* const* argv, std::string_view version_text) {
    CLI::App app("Baltoro serves Kimi-K2 from one workstation.", "baltoro");
    app.set_version_flag("--version", std::string(version_text),
                         "Version, commit and compiled instruction sets");
    app.require_subcommand(1);
    app.get_formatter()->column_width(38);
    RunCommand run;
    ServeCommand serve;
    BenchCommand bench;
    EvalCommand eval;
    TokenizeCommand tokenize;
    RenderCommand render;
    ParseCommand parse;
    InspectCommand inspect;
    MakeModelCommand make_model;
    const CLI::App* run_app = add_run(app, run);
    const CLI::App* serve_app = add_serve(app, serve);
    const CLI::App* bench_app = add_bench(app, bench);
    const CLI::App* eval_app = add_eval(app, eval);
    const CLI::App* tokenize_app = add_tokenize(app, tokenize);
    const CLI::App* render_app = add_render(app, render);
    const CLI::App* parse_app = add_parse(app, parse);
    const CLI::App* inspect_app = add_inspect(app, inspect);
    add_make_model(app, make_model);
    name_environment(app);
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        return Finished{app.exit(error, std::cout, std::cerr) == 0 ? 0 : 1};
    }
    if (run_app->parsed()) return run;
    if (serve_app->parsed()) return serve;
    if (bench_app->parsed()) return bench;
    if (eval_app->parsed()) return eval;
    if (tokenize_app->parsed()) return tokenize;
    if (render_app->parsed()) return render;
    if (parse_app->parsed()) return parse;
    if (inspect_app->parsed()) return inspect;
    return make_model;
}

}  // namespace baltoro
