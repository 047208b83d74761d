#include "base/mapped_file.h"

#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>

#include <doctest/doctest.h>

#include "base/error.h"

using namespace baltoro;
namespace fs = std::filesystem;

namespace {

// A directory that goes away with the test.
struct TemporaryDirectory {
    TemporaryDirectory() {
        std::string pattern = (fs::temp_directory_path() / "baltoro-XXXXXX").string();
        path = mkdtemp(pattern.data());
    }
    ~TemporaryDirectory() { fs::remove_all(path); }
    fs::path path;
};

std::string write_file(const fs::path& path, const std::string& text) {
    std::ofstream(path, std::ios::binary) << text;
    return path.string();
}

}  // namespace

TEST_CASE("a mapped file shows the file's bytes") {
    const TemporaryDirectory directory;
    const MappedFile file(write_file(directory.path / "a", "abc"));
    REQUIRE(file.bytes().size() == 3);
    CHECK(static_cast<char>(file.bytes()[2]) == 'c');
}

TEST_CASE("an empty file maps to no bytes") {
    const TemporaryDirectory directory;
    CHECK(MappedFile(write_file(directory.path / "a", "")).bytes().empty());
}

TEST_CASE("what is not a regular file is refused at once") {
    const TemporaryDirectory directory;
    const std::string fifo = (directory.path / "fifo").string();
    REQUIRE(mkfifo(fifo.c_str(), 0600) == 0);
    CHECK_THROWS_WITH_AS(MappedFile{fifo}, doctest::Contains("not a regular file"), Error);
    CHECK_THROWS_WITH_AS(read_small_file(fifo, 10), doctest::Contains("not a regular file"), Error);
    CHECK_THROWS_WITH_AS(MappedFile{directory.path.string()}, doctest::Contains("is a directory"),
                         Error);
    CHECK_THROWS_WITH_AS(MappedFile{fifo + "x"}, doctest::Contains("No such file"), Error);
}

TEST_CASE("a small file is read whole or refused for its size") {
    const TemporaryDirectory directory;
    const std::string path = write_file(directory.path / "a", "0123456789");
    CHECK(read_small_file(path, 10) == "0123456789");
    CHECK_THROWS_WITH_AS(read_small_file(path, 9), doctest::Contains("at most 9"), Error);
}

TEST_CASE("a reader reads any part of the opened file, also when another takes its name") {
    const TemporaryDirectory directory;
    const std::string path = write_file(directory.path / "a", "0123456789");
    const MappedFile file(path);
    fs::rename(write_file(directory.path / "b", "abcdefghij"), path);
    const FileReader reader(file);
    std::array<std::byte, 4> part{};
    reader.read(6, part);
    CHECK(std::memcmp(part.data(), "6789", 4) == 0);
    reader.read(10, {});
}

TEST_CASE("reading what a file has lost is an error that names it and both sizes") {
    const TemporaryDirectory directory;
    const std::string path = write_file(directory.path / "shard", "0123456789");
    const MappedFile file(path);
    fs::resize_file(path, 8);
    std::array<std::byte, 4> part{};
    CHECK_THROWS_WITH_AS(FileReader(file).read(6, part),
                         doctest::Contains("shard: had 10 bytes when opened and now has 8"), Error);
}

TEST_CASE("a read that the kernel refuses is an error that names the file") {
    const TemporaryDirectory directory;
    const MappedFile file(write_file(directory.path / "shard", "0123456789"));
    std::byte* nowhere = nullptr;
    CHECK_THROWS_WITH_AS(FileReader(file).read(2, {nowhere, 4}),
                         doctest::Contains("shard: cannot read 4 bytes at offset 2"), Error);
}

TEST_CASE("a file that shrinks while mapped ends the process with one line and code 1") {
    const TemporaryDirectory directory;
    const std::string path = write_file(directory.path / "shard", std::string(1 << 20, 'x'));
    const MappedFile file(path);
    fs::resize_file(path, 10);
    CHECK_THROWS_WITH_AS(file.check_size_unchanged(), doctest::Contains("now has 10"), Error);

    const std::string log = (directory.path / "log").string();
    const pid_t child = fork();
    if (child == 0) {
        std::FILE* redirected = std::freopen(log.c_str(), "w", stderr);
        guard_mapped_files();
        const std::byte touched = file.bytes()[900000];
        _exit(redirected != nullptr && touched == std::byte{0} ? 2 : 3);
    }
    int status = 0;
    REQUIRE(waitpid(child, &status, 0) == child);
    REQUIRE(WIFEXITED(status));
    CHECK(WEXITSTATUS(status) == 1);
    CHECK(read_small_file(log, 4096).find("shard: the file shrank") != std::string::npos);
}
