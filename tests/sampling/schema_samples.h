#pragma once

#include <string_view>
#include <vector>

namespace baltoro {

// A schema with documents that satisfy it, as models write them, and others.
struct SchemaSample {
    std::string_view schema;
    std::vector<std::string_view> accepted;
    std::vector<std::string_view> refused;
};

extern const std::vector<SchemaSample> kSchemaSamples;

}  // namespace baltoro
