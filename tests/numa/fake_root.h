#pragma once

#include <filesystem>
#include <fstream>
#include <string>

#include <unistd.h>

namespace baltoro::testing {

// A folder that imitates the files which the kernel's figures are read from.
class FakeRoot {
  public:
    FakeRoot()
        : path_(std::filesystem::temp_directory_path() /
                ("baltoro-root-" + std::to_string(getpid()))) {}
    ~FakeRoot() { std::filesystem::remove_all(path_); }
    FakeRoot(const FakeRoot&) = delete;
    FakeRoot& operator=(const FakeRoot&) = delete;

    void write(const std::string& file, const std::string& text) const {
        const std::filesystem::path full = path_.string() + file;
        std::filesystem::create_directories(full.parent_path());
        std::ofstream(full) << text;
    }
    std::string path() const { return path_.string(); }

  private:
    std::filesystem::path path_;
};

}  // namespace baltoro::testing
