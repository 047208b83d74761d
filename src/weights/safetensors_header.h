#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "weights/safetensors.h"

namespace baltoro {

// Headers past this size are refused before they are read, as the format's own library does.
constexpr std::uint64_t kMaxSafetensorsHeaderBytes = 100'000'000;

// Bytes of a tensor. Throws Error "SOURCE: tensor NAME: ..." if a dimension is negative or the
// product does not fit.
std::uint64_t tensor_bytes(const TensorEntry& tensor, std::string_view source);

// The tensors of a header, in the order of their data. `data_bytes` is the size of the data section
// that the header has to describe without overlap or gap. Throws Error naming `source`, tensor and
// reason.
std::vector<TensorEntry> parse_safetensors_header(std::string_view header,
                                                  std::uint64_t data_bytes,
                                                  std::string_view source);

}  // namespace baltoro
