#pragma once

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "base/mapped_file.h"
#include "text/tokenizer.h"

namespace baltoro {

// A directory that goes away with the test.
struct TemporaryDirectory {
    TemporaryDirectory() {
        std::string pattern = (std::filesystem::temp_directory_path() / "baltoro-XXXXXX").string();
        path = mkdtemp(pattern.data());
    }
    ~TemporaryDirectory() { std::filesystem::remove_all(path); }
    TemporaryDirectory(const TemporaryDirectory&) = delete;
    TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;

    void write(const std::string& name, const std::string& text) const {
        std::ofstream(path / name, std::ios::binary) << text;
    }
    std::filesystem::path path;
};

inline std::string golden_path(const std::string& name) {
    return std::string(BALTORO_GOLDEN_DIR) + "/tokenizer/" + name;
}

// One line of a rank file.
inline std::string rank_line(unsigned char byte, int rank) {
    constexpr char kAlphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const std::string base64{kAlphabet[byte >> 2], kAlphabet[(byte & 3) << 4]};
    return base64 + "== " + std::to_string(rank) + "\n";
}

// A rank file of the 256 single bytes; the rank is the byte's value.
inline std::string byte_ranks() {
    std::string text;
    for (int value = 0; value < 256; ++value)
        text += rank_line(static_cast<unsigned char>(value), value);
    return text;
}

// Kimi's special tokens after the part of its ranks that is known.
inline Tokenizer partial_kimi_tokenizer() {
    const auto known = nlohmann::json::parse(
        read_small_file(golden_path("special_tokens.json"), std::size_t{1} << 20));
    std::vector<std::pair<std::string, std::int32_t>> special;
    for (const auto& [id, entry] : known.at("added_tokens_decoder").items())
        special.emplace_back(entry.at("content").get<std::string>(), std::stoi(id));
    const std::string path = golden_path("kimi_partial_ranks.tiktoken");
    return Tokenizer::from_ranks(read_small_file(path, std::size_t{1} << 20), special, path);
}

}  // namespace baltoro
