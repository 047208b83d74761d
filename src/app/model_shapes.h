#pragma once

#include <string>
#include <string_view>

namespace baltoro {

// Special tokens, and ids reserved for more, after the ordinary ones.
constexpr int kReservedTokens = 256;

// config.json of one of the shapes that make-model knows (k2-tiny, k2-mini, k2-layer, k2), with all
// fields of Kimi-K2-Instruct's. `layers` and `experts` replace the shape's own unless they are 0.
// Throws Error for an unknown shape (listing all) and for values out of range.
std::string shape_config_json(std::string_view shape, int layers, int experts);

}  // namespace baltoro
