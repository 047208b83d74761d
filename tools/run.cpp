#include <unistd.h>

#include <csignal>
#include <fstream>
#include <iostream>
#include <iterator>
#include <random>
#include <string>

#include "base/error.h"
#include "base/log.h"
#include "base/mapped_file.h"
#include "engine/generation.h"
#include "numa/bandwidth.h"
#include "numa/topology.h"
#include "text/utf8_stream.h"
#include "tools/answer.h"
#include "tools/commands.h"
#include "tools/write_out.h"

namespace baltoro {
namespace {

volatile std::sig_atomic_t g_interrupts = 0;

// The first Ctrl-C ends the answer, a second one the process.
void on_interrupt(int /*signal_number*/) {
    g_interrupts = g_interrupts + 1;
    if (g_interrupts > 1) _exit(130);
}

SamplingOptions sampling_options(const RunCommand& command, const ModelConfig& config) {
    SamplingOptions options;
    options.temperature = command.temperature.value_or(config.temperature.value_or(0.6));
    options.top_p = command.top_p.value_or(config.top_p.value_or(1.0));
    options.top_k = command.top_k.value_or(config.top_k.value_or(0));
    options.min_p = command.min_p;
    options.seed = command.seed ? *command.seed : std::random_device{}();
    check_sampling_options(options);
    return options;
}

std::string read_prompt(const RunCommand& command) {
    constexpr std::size_t kMaxBytes = std::size_t{1} << 28;
    if (command.prompt) return *command.prompt;
    if (command.prompt_file == "-")
        return {std::istreambuf_iterator<char>(std::cin), std::istreambuf_iterator<char>()};
    return read_small_file(command.prompt_file, kMaxBytes);
}

void write_stats(const std::string& path, const SpeedReport& report) {
    std::ofstream file(path);
    file << speed_json(report);
    if (!file.flush()) throw Error(path + ": cannot write the figures");
}

}  // namespace

Answerer::Answerer(const RunCommand& command)
    : max_tokens_(command.max_tokens),
      runtime_(make_runtime(command.runtime, TextFiles::required)),
      session_(*runtime_.model, runtime_.context_size),
      sampler_(sampling_options(command, runtime_.config), runtime_.config.vocab_size) {
    speed_.bytes_per_token = runtime_.model->weight_bytes_per_token();
    speed_.load_s = runtime_.load_s;
}

const SpeedReport& Answerer::speed() {
    if (speed_.machine_read_bytes_per_s == 0.0)
        speed_.machine_read_bytes_per_s =
            numa::measure_read_bandwidth(*runtime_.team, numa::discover_topology());
    return speed_;
}

std::string Answerer::answer(const std::vector<std::int32_t>& prompt) {
    std::string text;
    Utf8Stream stream;
    const auto emit = [&](std::string part) {
        write_out(part);
        text += part;
    };
    g_interrupts = 0;
    const auto previous = std::signal(SIGINT, on_interrupt);
    GenerationRequest request;
    request.prompt = prompt;
    request.max_tokens = max_tokens_;
    request.stop_ids = runtime_.config.eos_token_ids;
    request.on_token = [&](std::int32_t id) {
        if (id < runtime_.tokenizer->vocab_size())
            emit(stream.push(runtime_.tokenizer->token_bytes(id)));
    };
    request.is_cancelled = [] { return g_interrupts > 0; };
    const GenerationStats stats = generate(session_, sampler_, request);
    emit(stream.finish());
    std::signal(SIGINT, previous);
    speed_.add(stats);
    last_reason_ = stats.reason;
    return text;
}

int run_command(const RunCommand& command) {
    static_cast<void>(
        sampling_options(command, ModelConfig{}));  // refused before anything is loaded
    if (!command.stats_file.empty() && !std::ofstream(command.stats_file, std::ios::app))
        throw Error("--stats " + command.stats_file + ": cannot write");
    const bool is_chat = !command.prompt && command.prompt_file.empty();
    if (is_chat && command.raw) throw Error("--raw needs --prompt or --prompt-file");
    const std::string prompt = is_chat ? "" : read_prompt(command);
    Answerer answerer(command);
    int exit_code = 0;
    if (is_chat) {
        exit_code = chat(answerer, command.system);
    } else {
        if (command.raw)
            answerer.answer(answerer.runtime().tokenizer->encode(prompt));
        else
            answer_once(answerer, command.system, prompt);
        write_out("\n");
        if (answerer.last_reason() == FinishReason::context_full)
            log_line("(the context is full; --ctx-size sets it)");
    }
    log_line(speed_line(answerer.speed()));
    if (!command.stats_file.empty()) write_stats(command.stats_file, answerer.speed());
    return exit_code;
}

}  // namespace baltoro
