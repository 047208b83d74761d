#include "tests/weights/temporary_checkpoint.h"

#include <sys/resource.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <fstream>

#include <doctest/doctest.h>

#include "base/error.h"

namespace baltoro::testing {
namespace {

namespace fs = std::filesystem;

long peak_rss_kb() {
    struct rusage usage {};
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_maxrss;
}

}  // namespace

TemporaryDirectory::TemporaryDirectory() {
    std::string pattern = (fs::temp_directory_path() / "baltoro-XXXXXX").string();
    REQUIRE(mkdtemp(pattern.data()) != nullptr);
    path = pattern;
}

TemporaryDirectory::~TemporaryDirectory() {
    std::error_code ignored;
    fs::remove_all(path, ignored);
}

std::string write_text(const std::string& path, std::string_view text) {
    std::ofstream(path, std::ios::binary) << text;
    return path;
}

std::string safetensors_text(std::string_view header, std::size_t n_data_bytes) {
    std::string text(8, '\0');
    for (int i = 0; i < 8; ++i)
        text[i] = static_cast<char>(header.size() >> (8 * i));
    return text + std::string(header) + std::string(n_data_bytes, '\0');
}

TensorToWrite counted_tensor(std::string name, DType dtype, std::vector<std::int64_t> shape) {
    const auto fill = [](std::uint64_t offset, std::span<std::byte> dst) {
        for (std::byte& byte : dst)
            byte = static_cast<std::byte>(offset++ % 251);
    };
    return {.name = std::move(name), .dtype = dtype, .shape = std::move(shape), .fill = fill};
}

std::string index_text(const std::vector<std::pair<std::string, std::string>>& shard_of) {
    std::string text = R"({"metadata": {"total_size": 0}, "weight_map": {)";
    for (std::size_t i = 0; i < shard_of.size(); ++i) {
        text += (i > 0 ? ", \"" : "\"") + shard_of[i].first + "\": \"" + shard_of[i].second + "\"";
    }
    return text + "}}";
}

void check_refused(const std::string& case_name,
                   const std::vector<std::string>& parts,
                   const std::function<void()>& open) {
    CAPTURE(case_name);
    const long peak_before_kb = peak_rss_kb();
    const auto start = std::chrono::steady_clock::now();
    std::string message;
    try {
        open();
    } catch (const Error& error) {
        message = error.what();
    }
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    CHECK_MESSAGE(!message.empty(), "was accepted");
    for (const std::string& part : parts) {
        CAPTURE(message);
        CAPTURE(part);
        CHECK(message.find(part) != std::string::npos);
    }
    CHECK(message.find('\n') == std::string::npos);
    CHECK(message.size() < 1500);
    CHECK(seconds.count() < 1.0);
    CHECK(peak_rss_kb() - peak_before_kb < 64 * 1024);
}

}  // namespace baltoro::testing
