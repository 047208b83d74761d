#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/tensor_view.h"
#include "model/config.h"

namespace baltoro {

// What a tensor belongs to, for sizes and placement.
enum class Part { embeddings, attention, norms, router, experts, shared, dense, head };
constexpr int kNumParts = 8;
std::string_view part_name(Part part) noexcept;

// A tensor that a checkpoint of this architecture has to hold.
struct ExpectedTensor {
    std::string name;
    std::vector<std::int64_t> shape;
    std::span<const DType> accepted;  // a static table
    Part part = Part::embeddings;
    // Whether the tensor may be f8_e4m3; then `NAME_scale_inv` holds f32 [ceil(n/128),
    // ceil(k/128)].
    bool may_be_fp8 = false;
    bool is_optional = false;
};

// Calls `visit` for every expected tensor except scales, in the order of the forward pass. Names
// are made one at a time: a hostile configuration may ask for millions.
void for_each_expected_tensor(const ModelConfig& config,
                              const std::function<void(const ExpectedTensor&)>& visit);

// The scale tensor that belongs to an fp8 weight. Precondition: weight.may_be_fp8.
ExpectedTensor scale_of(const ExpectedTensor& weight);

// The one matrix whose rows are looked up.
constexpr std::string_view kEmbeddingTable = "model.embed_tokens.weight";

// Whether the tensor belongs to a routed expert.
bool is_routed_expert(std::string_view name) noexcept;

// Tensors which are in published checkpoints and take no part in the forward pass of the text
// model.
enum class IgnoredKind { none, rotary_frequencies, layers_past_the_last, vision };
constexpr int kNumIgnoredKinds = 4;
std::string_view ignored_kind_name(IgnoredKind kind) noexcept;
IgnoredKind ignored_kind(const ModelConfig& config, std::string_view name) noexcept;

}  // namespace baltoro
