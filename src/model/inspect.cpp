#include "model/inspect.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "weights/strict_json.h"

namespace baltoro {
namespace {

using nlohmann::ordered_json;

std::string in_gb(std::uint64_t n_bytes) {
    return fmt::format("{:.3f} GB", static_cast<double>(n_bytes) * 1e-9);
}

std::string weights_kind(const ModelConfig& config) {
    if (config.int4_groups) return "int4 groups (not supported yet)";
    return config.fp8_blocks ? "fp8 blocks of 128 x 128" : "bf16";
}

std::string model_lines(const InspectReport& report) {
    const ModelConfig& c = report.config;
    return fmt::format(
        "{}\n"
        "  {}, weights {}, {} shards, {} tensors, {}\n"
        "  {} layers, hidden {}, {} heads, vocabulary {}, context {}\n"
        "  {} experts, {} per token, {} shared; latent {} + {}\n"
        "  {:.2f} G weights, {:.2f} G active per token\n",
        in_quotes(report.directory), in_quotes(c.model_type), weights_kind(c), report.n_shards,
        report.n_tensors, in_gb(report.n_bytes), c.num_hidden_layers, c.hidden_size,
        c.num_attention_heads, c.vocab_size, c.max_position_embeddings, c.n_routed_experts,
        c.num_experts_per_tok, c.n_shared_experts, c.kv_lora_rank, c.qk_rope_head_dim,
        static_cast<double>(report.n_weights) * 1e-9,
        static_cast<double>(report.n_active_weights) * 1e-9);
}

std::string part_lines(const CheckpointReport& tensors) {
    std::string text = "part         type      tensors          size\n";
    for (const auto& [key, totals] : tensors.totals) {
        text += fmt::format("{:<12} {:<8} {:>8} {:>13}\n", part_name(key.first),
                            dtype_name(key.second), totals.n_tensors, in_gb(totals.n_bytes));
    }
    for (int kind = 1; kind < kNumIgnoredKinds; ++kind) {
        const TensorTotals& totals = tensors.ignored[kind];
        if (totals.n_tensors == 0) continue;
        text += fmt::format("not used: {}, {} tensors, {}\n",
                            ignored_kind_name(static_cast<IgnoredKind>(kind)), totals.n_tensors,
                            in_gb(totals.n_bytes));
    }
    return text;
}

std::string problem_lines(std::string_view title, const ProblemList& problems) {
    if (problems.count == 0) return {};
    std::string text = fmt::format("{}: {}\n", title, problems.count);
    for (const std::string& problem : problems.first)
        text += fmt::format("  {}\n", problem);
    if (problems.count > problems.first.size())
        text += fmt::format("  and {} more\n", problems.count - problems.first.size());
    return text;
}

ordered_json problems_json(const ProblemList& problems) {
    return {{"count", problems.count}, {"first", problems.first}};
}

ordered_json totals_json(const TensorTotals& totals) {
    return {{"tensors", totals.n_tensors}, {"bytes", totals.n_bytes}};
}

ordered_json config_json(const ModelConfig& c) {
    return {{"model_type", c.model_type},
            {"vocab_size", c.vocab_size},
            {"hidden_size", c.hidden_size},
            {"num_hidden_layers", c.num_hidden_layers},
            {"num_attention_heads", c.num_attention_heads},
            {"q_lora_rank", c.q_lora_rank},
            {"kv_lora_rank", c.kv_lora_rank},
            {"n_routed_experts", c.n_routed_experts},
            {"num_experts_per_tok", c.num_experts_per_tok},
            {"n_shared_experts", c.n_shared_experts},
            {"max_position_embeddings", c.max_position_embeddings},
            {"weights", c.int4_groups  ? "int4"
                        : c.fp8_blocks ? "fp8"
                                       : "bf16"},
            {"eos_token_ids", c.eos_token_ids}};
}

}  // namespace

InspectReport inspect_checkpoint(const ModelConfig& config, const Checkpoint& checkpoint) {
    InspectReport report{.directory = checkpoint.directory(),
                         .n_shards = checkpoint.shards().size(),
                         .n_tensors = checkpoint.tensors().size(),
                         .n_bytes = checkpoint.total_bytes(),
                         .config = config,
                         .tensors = compare_with_config(config, checkpoint)};
    for (int i = 0; i < kNumParts; ++i) {
        const auto part = static_cast<Part>(i);
        const TensorTotals totals = report.tensors.part_totals(part);
        report.n_weights += totals.n_weights;
        if (part != Part::experts) {
            report.device_bytes += totals.n_bytes;
            if (part != Part::embeddings) report.n_active_weights += totals.n_weights;
            continue;
        }
        report.host_bytes = totals.n_bytes;
        if (config.n_routed_experts == 0) continue;
        const auto n_experts = static_cast<std::uint64_t>(config.n_routed_experts);
        const auto n_chosen = static_cast<std::uint64_t>(config.num_experts_per_tok);
        report.routed_bytes_per_token = totals.n_bytes / n_experts * n_chosen;
        report.n_active_weights += totals.n_weights / n_experts * n_chosen;
    }
    report.kv_bytes_per_token = std::uint64_t{2} * config.latent_dim() * config.num_hidden_layers;
    return report;
}

std::string to_text(const InspectReport& report) {
    std::string text = model_lines(report) + part_lines(report.tensors);
    text += fmt::format(
        "CPU: {} of routed experts, {} read per token\n"
        "GPU: {} for everything else\n"
        "KV cache: {} bytes per token, {} at the full context of {}\n",
        in_gb(report.host_bytes), in_gb(report.routed_bytes_per_token), in_gb(report.device_bytes),
        report.kv_bytes_per_token,
        in_gb(report.kv_bytes_per_token * report.config.max_position_embeddings),
        report.config.max_position_embeddings);
    text += problem_lines("missing tensors", report.tensors.missing);
    text += problem_lines("wrong tensors", report.tensors.wrong);
    ProblemList unexpected = report.tensors.unexpected;
    for (std::string& name : unexpected.first)
        name = in_quotes(name);  // as the file spells it
    text += problem_lines("unexpected tensors", unexpected);
    return text + (report.tensors.is_complete() ? "complete\n" : "NOT complete\n");
}

std::string to_json(const InspectReport& report) {
    ordered_json parts = ordered_json::object();
    for (const auto& [key, totals] : report.tensors.totals) {
        parts[std::string(part_name(key.first))][std::string(dtype_name(key.second))] =
            totals_json(totals);
    }
    ordered_json ignored = ordered_json::object();
    for (int kind = 1; kind < kNumIgnoredKinds; ++kind) {
        ignored[std::string(ignored_kind_name(static_cast<IgnoredKind>(kind)))] =
            totals_json(report.tensors.ignored[kind]);
    }
    const ordered_json json = {{"directory", report.directory},
                               {"config", config_json(report.config)},
                               {"shards", report.n_shards},
                               {"tensors", report.n_tensors},
                               {"bytes", report.n_bytes},
                               {"weights", report.n_weights},
                               {"active_weights_per_token", report.n_active_weights},
                               {"parts", parts},
                               {"ignored", ignored},
                               {"host_bytes", report.host_bytes},
                               {"device_bytes", report.device_bytes},
                               {"routed_bytes_per_token", report.routed_bytes_per_token},
                               {"kv_bytes_per_token", report.kv_bytes_per_token},
                               {"missing", problems_json(report.tensors.missing)},
                               {"wrong", problems_json(report.tensors.wrong)},
                               {"unexpected", problems_json(report.tensors.unexpected)},
                               {"complete", report.tensors.is_complete()}};
    return json.dump(2, ' ', false, ordered_json::error_handler_t::replace) + "\n";
}

}  // namespace baltoro
