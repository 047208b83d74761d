#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "app/runtime.h"
#include "app/token_file.h"
#include "base/error.h"
#include "base/mapped_file.h"
#include "model/trace.h"
#include "tests/reference/reference.h"
#include "tools/commands.h"
#include "weights/safetensors.h"

namespace baltoro {
namespace {

// What `--out` holds; shapes in the comments.
struct Evaluation {
    std::vector<float> logits;                 // [T, vocab]
    std::vector<float> hidden;                 // [L, T, H]
    std::vector<std::int32_t> routed_experts;  // [L_moe, T, k], ascending per token
};

template <typename T>
TensorToWrite tensor_of(const std::string& name,
                        DType dtype,
                        std::vector<std::int64_t> shape,
                        const std::vector<T>& values) {
    return {name, dtype, std::move(shape),
            [&values](std::uint64_t offset, std::span<std::byte> dst) {
                std::memcpy(dst.data(), reinterpret_cast<const std::byte*>(values.data()) + offset,
                            dst.size());
            }};
}

void write_evaluation(const std::string& path,
                      const ModelConfig& config,
                      std::int64_t n_tokens,
                      const Evaluation& result) {
    int n_moe_layers = 0;
    for (int l = 0; l < config.num_hidden_layers; l++)
        n_moe_layers += config.is_moe_layer(l) ? 1 : 0;
    write_safetensors(
        path,
        {tensor_of("logits", DType::f32, {n_tokens, config.vocab_size}, result.logits),
         tensor_of("hidden", DType::f32, {config.num_hidden_layers, n_tokens, config.hidden_size},
                   result.hidden),
         tensor_of("routed_experts", DType::i32,
                   {n_moe_layers, n_tokens, config.num_experts_per_tok}, result.routed_experts)});
}

// Runs the tokens in chunks and hands each chunk's logits to `take` (f32 [rows, vocab], first
// token).
template <typename Take>
void run_chunks(Model& model,
                std::span<const std::int32_t> tokens,
                Trace* trace,
                const Take& take) {
    std::vector<std::int32_t> pages(static_cast<std::size_t>(model.limits().n_pages));
    for (std::size_t p = 0; p < pages.size(); p++)
        pages[p] = static_cast<std::int32_t>(p);
    const auto chunk = static_cast<std::size_t>(model.limits().max_rows);
    for (std::size_t begin = 0; begin < tokens.size(); begin += chunk) {
        const std::span<const std::int32_t> part =
            tokens.subspan(begin, std::min(chunk, tokens.size() - begin));
        std::vector<std::int32_t> rows(part.size());
        for (std::size_t r = 0; r < rows.size(); r++)
            rows[r] = static_cast<std::int32_t>(r);
        const device::SequenceRows sequence{0, static_cast<int>(part.size()),
                                            static_cast<int>(begin), pages};
        take(model.forward({part, {&sequence, 1}, rows}, trace), begin);
    }
}

Evaluation evaluate(Model& model, const std::vector<std::int32_t>& tokens) {
    Evaluation result;
    Trace trace;
    run_chunks(model, tokens, &trace, [&](std::span<const float> logits, std::size_t) {
        result.logits.insert(result.logits.end(), logits.begin(), logits.end());
    });
    for (const std::vector<float>& layer : trace.hidden)
        result.hidden.insert(result.hidden.end(), layer.begin(), layer.end());
    const int k = model.config().num_experts_per_tok;
    for (std::vector<std::int32_t>& layer : trace.routed_experts) {
        for (auto it = layer.begin(); it != layer.end(); it += k)
            std::sort(it, it + k);
        result.routed_experts.insert(result.routed_experts.end(), layer.begin(), layer.end());
    }
    return result;
}

Evaluation evaluate_reference(const std::string& model_dir,
                              const ModelConfig& config,
                              const std::vector<std::int32_t>& tokens) {
    const Checkpoint checkpoint(model_dir);
    ReferenceOutput output = run_reference(config, checkpoint, tokens);
    return {std::move(output.logits), std::move(output.hidden), std::move(output.routed_experts)};
}

void check_tokens(const std::vector<std::int32_t>& tokens,
                  const ModelConfig& config,
                  int context,
                  const std::string& source) {
    if (tokens.empty()) throw Error(source + ": no tokens");
    if (static_cast<int>(tokens.size()) > context)
        throw Error(
            fmt::format("{}: {} tokens, the context holds {}", source, tokens.size(), context));
    for (std::size_t i = 0; i < tokens.size(); i++) {
        if (tokens[i] < 0 || tokens[i] >= config.vocab_size)
            throw Error(fmt::format("{}: token {} at index {} is outside the vocabulary of {}",
                                    source, tokens[i], i, config.vocab_size));
    }
}

// -log p(next | before) from f32 logits, in double.
double surprise(std::span<const float> logits, std::int32_t next) {
    const double max = static_cast<double>(*std::max_element(logits.begin(), logits.end()));
    double sum = 0.0;
    for (const float logit : logits)
        sum += std::exp(static_cast<double>(logit) - max);
    return std::log(sum) + max - static_cast<double>(logits[static_cast<std::size_t>(next)]);
}

int print_perplexity(const EvalCommand& command) {
    constexpr std::size_t kMaxBytes = std::size_t{1} << 28;
    const std::string text = read_small_file(command.text_file, kMaxBytes);
    Runtime runtime = make_runtime(command.runtime, TextFiles::required);
    const std::vector<std::int32_t> tokens = runtime.tokenizer->encode(text);
    check_tokens(tokens, runtime.config, runtime.context_size, command.text_file);
    if (tokens.size() < 2)
        throw Error(command.text_file + ": perplexity needs at least two tokens");
    const auto vocab = static_cast<std::size_t>(runtime.config.vocab_size);
    double total = 0.0;
    run_chunks(
        *runtime.model, tokens, nullptr, [&](std::span<const float> logits, std::size_t first) {
            for (std::size_t r = 0; r * vocab < logits.size() && first + r + 1 < tokens.size(); r++)
                total += surprise(logits.subspan(r * vocab, vocab), tokens[first + r + 1]);
        });
    const double mean = total / static_cast<double>(tokens.size() - 1);
    fmt::print("perplexity {:.4f} over {} tokens ({:.4f} nats per token)\n", std::exp(mean),
               tokens.size() - 1, mean);
    return 0;
}

}  // namespace

int run_command(const EvalCommand& command) {
    if (!command.text_file.empty()) return print_perplexity(command);
    if (command.tokens_file.empty() || command.out_file.empty())
        throw Error("eval needs --tokens FILE.json with --out FILE.safetensors, or --text FILE");
    const std::vector<std::int32_t> tokens = read_token_file(command.tokens_file);
    Evaluation result;
    ModelConfig config;
    if (command.reference) {
        config = read_model_config(command.runtime.model_dir);
        check_tokens(tokens, config, config.max_position_embeddings, command.tokens_file);
        result = evaluate_reference(command.runtime.model_dir, config, tokens);
    } else {
        Runtime runtime = make_runtime(command.runtime, TextFiles::none);
        config = runtime.config;
        check_tokens(tokens, config, runtime.context_size, command.tokens_file);
        result = evaluate(*runtime.model, tokens);
    }
    write_evaluation(command.out_file, config, static_cast<std::int64_t>(tokens.size()), result);
    return 0;
}

}  // namespace baltoro
