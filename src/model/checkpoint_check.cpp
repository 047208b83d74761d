#include "model/checkpoint_check.h"

#include <algorithm>
#include <functional>
#include <unordered_set>

#include <fmt/format.h>

#include "base/error.h"
#include "base/log.h"
#include "weights/strict_json.h"

namespace baltoro {
namespace {

constexpr std::size_t kMaxListed = 100;

// Called with the name of a tensor that is not there, or with the message about one that is wrong.
struct ProblemSink {
    std::function<void(const std::string& name)> missing;
    std::function<void(const std::string& message)> wrong;
};

// Walks the expected tensors along a checkpoint.
class Comparison {
  public:
    Comparison(const ModelConfig& config, const Checkpoint& checkpoint, const ProblemSink& sink)
        : config_(config), checkpoint_(checkpoint), sink_(sink) {}

    void walk(CheckpointReport& report) {
        for_each_expected_tensor(config_, [&](const ExpectedTensor& expected) {
            const TensorView* tensor = match(expected, report, true);
            if (tensor == nullptr || tensor->dtype != DType::f8_e4m3) return;
            if (!config_.fp8_blocks) {
                sink_.wrong(
                    fmt::format("{}: tensor {}: expected BF16, found F8_E4M3: config.json has no "
                                "quantization_config with quant_method \"fp8\"",
                                checkpoint_.shard_of(expected.name), expected.name));
            }
            match(scale_of(expected), report, false);
        });
        sort_out_rest(report);
    }

  private:
    // The tensor, if it is there and right.
    const TensorView* match(const ExpectedTensor& expected,
                            CheckpointReport& report,
                            bool holds_weights) {
        const TensorView* tensor = checkpoint_.find(expected.name);
        if (tensor == nullptr) {
            if (!expected.is_optional) sink_.missing(expected.name);
            return nullptr;
        }
        matched_.insert(tensor);
        if (std::ranges::find(expected.accepted, tensor->dtype) == expected.accepted.end() ||
            tensor->shape != expected.shape) {
            sink_.wrong(mismatch(expected, *tensor));
            return nullptr;
        }
        TensorTotals& totals = report.totals[{expected.part, tensor->dtype}];
        ++totals.n_tensors;
        totals.n_bytes += tensor->size_bytes;
        if (holds_weights) totals.n_weights += tensor->size_bytes / dtype_bytes(tensor->dtype);
        return tensor;
    }

    std::string mismatch(const ExpectedTensor& expected, const TensorView& found) const {
        std::string accepted;
        for (const DType dtype : expected.accepted) {
            accepted += accepted.empty() ? "" : " or ";
            accepted += dtype_name(dtype);
        }
        return fmt::format("{}: tensor {}: expected {} [{}], found {} [{}]",
                           checkpoint_.shard_of(expected.name), expected.name, accepted,
                           fmt::join(expected.shape, ", "), dtype_name(found.dtype),
                           fmt::join(found.shape, ", "));
    }

    void sort_out_rest(CheckpointReport& report) const {
        for (const auto& [name, tensor] : checkpoint_.tensors()) {
            if (matched_.contains(&tensor)) continue;
            const IgnoredKind kind = ignored_kind(config_, name);
            if (kind == IgnoredKind::none) {
                report.unexpected.add(name);
                continue;
            }
            TensorTotals& totals = report.ignored[static_cast<std::size_t>(kind)];
            ++totals.n_tensors;
            totals.n_bytes += tensor.size_bytes;
        }
    }

    const ModelConfig& config_;
    const Checkpoint& checkpoint_;
    const ProblemSink& sink_;
    std::unordered_set<const TensorView*> matched_;
};

}  // namespace

void ProblemList::add(std::string text) {
    if (++count <= kMaxListed) first.push_back(std::move(text));
}

TensorTotals CheckpointReport::part_totals(Part part) const noexcept {
    TensorTotals sum;
    for (const auto& [key, part_of] : totals) {
        if (key.first != part) continue;
        sum.n_tensors += part_of.n_tensors;
        sum.n_bytes += part_of.n_bytes;
        sum.n_weights += part_of.n_weights;
    }
    return sum;
}

CheckpointReport compare_with_config(const ModelConfig& config, const Checkpoint& checkpoint) {
    CheckpointReport report;
    const ProblemSink sink{.missing = [&](const std::string& name) { report.missing.add(name); },
                           .wrong = [&](const std::string& message) { report.wrong.add(message); }};
    Comparison(config, checkpoint, sink).walk(report);
    return report;
}

void require_complete(const ModelConfig& config, const Checkpoint& checkpoint) {
    if (config.int4_groups) {
        throw Error(checkpoint.directory() +
                    "/config.json: quantization_config.quant_method: int4 weights "
                    "(\"compressed-tensors\") are not supported yet, expected \"fp8\" or bf16 "
                    "weights");
    }
    const ProblemSink sink{.missing =
                               [&](const std::string& name) {
                                   throw Error(fmt::format(
                                       "{}: tensor {} is missing: config.json asks for it, and no "
                                       "shard has it",
                                       checkpoint.directory(), name));
                               },
                           .wrong = [](const std::string& message) { throw Error(message); }};
    CheckpointReport report;
    Comparison(config, checkpoint, sink).walk(report);
    for (int kind = 1; kind < kNumIgnoredKinds; ++kind) {
        const TensorTotals& totals = report.ignored[kind];
        if (totals.n_tensors == 0) continue;
        log_line(fmt::format("{}: {} tensors are not used: {}", checkpoint.directory(),
                             totals.n_tensors, ignored_kind_name(static_cast<IgnoredKind>(kind))));
    }
    if (report.unexpected.count == 0) return;
    log_warning(fmt::format("{}: {} tensors are unknown and not used, for example {}",
                            checkpoint.directory(), report.unexpected.count,
                            in_quotes(report.unexpected.first[0])));
}

bool is_used(const ModelConfig& config, std::string_view name) noexcept {
    return ignored_kind(config, name) == IgnoredKind::none;
}

}  // namespace baltoro
