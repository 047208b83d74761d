#pragma once

#include <cstdint>
#include <fstream>
#include <random>
#include <string>

namespace baltoro::testing {

// The seed of a random test: what follows `--seed` on the command line, or else another one every
// time. The test prints it.
inline std::uint64_t test_seed() {
    std::ifstream command_line("/proc/self/cmdline", std::ios::binary);
    for (std::string word; std::getline(command_line, word, '\0');) {
        if (word == "--seed" && std::getline(command_line, word, '\0')) return std::stoull(word);
    }
    return std::random_device()();
}

}  // namespace baltoro::testing
