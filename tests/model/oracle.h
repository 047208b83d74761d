#pragma once

#include <cstdint>
#include <fstream>
#include <span>
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include "tests/reference/compare_outputs.h"
#include "weights/safetensors.h"

namespace baltoro::testing {

inline const char* const kOracles[] = {"k2-tiny", "moonlight-tiny"};

// What DeepSeek's published code gives for a checkpoint in float32.
struct Oracle {
    explicit Oracle(const std::string& name)
        : directory(std::string(BALTORO_GOLDEN_DIR) + "/oracle/" + name),
          file(directory + "/expected.safetensors") {
        std::ifstream text(directory + "/expected.json");
        const nlohmann::json json = nlohmann::json::parse(text);
        tokens = json["tokens"].get<std::vector<std::int32_t>>();
        greedy = {json["greedy"]["prompt"].get<std::vector<std::int32_t>>(),
                  json["greedy"]["continuation"].get<std::vector<std::int32_t>>(),
                  json["greedy"]["margin"].get<std::vector<double>>()};
    }

    template <typename T>
    std::span<const T> tensor(const std::string& name) const {
        for (const TensorEntry& entry : file.entries()) {
            if (entry.name != name) continue;
            const TensorView view = file.view(entry);
            return {view.as<T>(), view.size_bytes / sizeof(T)};
        }
        FAIL("the oracle has no tensor ", name);
        return {};
    }

    std::string directory;
    SafetensorsFile file;
    std::vector<std::int32_t> tokens;
    GreedyContinuation greedy;
};

}  // namespace baltoro::testing
