#include "weights/load_progress.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <span>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "tests/weights/temporary_checkpoint.h"

using namespace baltoro;
using namespace baltoro::testing;

namespace {

constexpr std::uint64_t kMiB = 1 << 20;

LoadProgress at(double done_gb, double total_gb, double seconds) {
    return {static_cast<std::uint64_t>(done_gb * 1e9), static_cast<std::uint64_t>(total_gb * 1e9),
            seconds};
}

// Of the pages of a mapping, how many are in the page cache.
double resident_share(std::span<const std::byte> bytes) {
    const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
    const std::size_t skipped = reinterpret_cast<std::uintptr_t>(bytes.data()) % page;
    const std::size_t size = bytes.size() + skipped;
    std::vector<unsigned char> resident((size + page - 1) / page);
    REQUIRE(mincore(const_cast<std::byte*>(bytes.data()) - skipped, size, resident.data()) == 0);
    const auto n = std::count_if(resident.begin(), resident.end(),
                                 [](unsigned char is_resident) { return (is_resident & 1) == 1; });
    return static_cast<double>(n) / static_cast<double>(resident.size());
}

// Where the page cache is all there is.
bool is_in_memory(const std::string& path) {
    struct statfs status {};
    REQUIRE(statfs(path.c_str(), &status) == 0);
    constexpr long kTmpfs = 0x01021994;
    constexpr long kRamfs = 0x858458f6;
    return status.f_type == kTmpfs || status.f_type == kRamfs;
}

}  // namespace

TEST_CASE("loading reports the pages of the needed tensors alone, growing to the total") {
    const TemporaryDirectory directory;
    write_safetensors(
        directory.file("model.safetensors"),
        {counted_tensor("a", DType::u8, {40 * kMiB}),
         counted_tensor("skipped", DType::u8, {30 * kMiB}), counted_tensor("b", DType::u8, {5}),
         counted_tensor("c", DType::u8, {7}), counted_tensor("empty", DType::u8, {0})});
    const Checkpoint checkpoint(directory.path.string());
    for (const int n_threads : {1, 3}) {
        CAPTURE(n_threads);
        std::vector<LoadProgress> reports;
        load_into_page_cache(
            checkpoint, [](std::string_view name) { return name != "skipped"; }, n_threads,
            [&](const LoadProgress& progress) { reports.push_back(progress); });
        REQUIRE(reports.size() >= 2);
        CHECK(reports.back().done_bytes == reports.back().total_bytes);
        CHECK(reports.back().total_bytes >= 40 * kMiB + 12);
        CHECK(reports.back().total_bytes < 41 * kMiB);
        for (std::size_t i = 1; i < reports.size(); ++i) {
            CHECK(reports[i].done_bytes > reports[i - 1].done_bytes);
        }
    }
}

TEST_CASE("loaded pages are in the page cache") {
    const TemporaryDirectory directory;
    write_safetensors(directory.file("model.safetensors"),
                      {counted_tensor("a", DType::u8, {3 * kMiB})});
    const Checkpoint checkpoint(directory.path.string());
    load_into_page_cache(
        checkpoint, [](std::string_view) { return true; }, 2, [](const LoadProgress&) {});
    CHECK(resident_share(checkpoint.shards()[0].file().bytes()) == 1.0);
}

TEST_CASE("tensors that are dropped leave the page cache and read the same again, others stay") {
    const TemporaryDirectory directory;
    const std::string path = directory.file("model.safetensors");
    write_safetensors(path, {counted_tensor("a", DType::u8, {8 * kMiB}),
                             counted_tensor("b", DType::u8, {8 * kMiB})});
    // Only clean pages can leave.
    const int descriptor = open(path.c_str(), O_RDONLY);
    REQUIRE(fsync(descriptor) == 0);
    close(descriptor);
    const Checkpoint checkpoint(directory.path.string());
    load_into_page_cache(
        checkpoint, [](std::string_view) { return true; }, 2, [](const LoadProgress&) {});
    const TensorView& a = *checkpoint.find("a");
    const TensorView& b = *checkpoint.find("b");
    const std::vector<std::byte> before(a.data, a.data + a.size_bytes);
    drop_from_page_cache(checkpoint, [](std::string_view name) { return name == "a"; });
    const double left = resident_share({a.data, a.size_bytes});
    CHECK(resident_share({b.data, b.size_bytes}) > 0.7);
    if (is_in_memory(path))
        MESSAGE("skipped: the temporary directory is in memory");
    else
        CHECK(left < 0.3);  // pages of 2 MB may hold a part of both
    CHECK(std::equal(before.begin(), before.end(), a.data));
}

TEST_CASE("loading nothing reports once") {
    const TemporaryDirectory directory;
    write_safetensors(directory.file("model.safetensors"), {counted_tensor("a", DType::u8, {3})});
    const Checkpoint checkpoint(directory.path.string());
    int n_reports = 0;
    load_into_page_cache(
        checkpoint, [](std::string_view) { return false; }, 2,
        [&](const LoadProgress& progress) {
            ++n_reports;
            CHECK(progress.total_bytes == 0);
        });
    CHECK(n_reports == 1);
}

TEST_CASE("progress that is not shown on a terminal is one line per tenth") {
    ProgressDisplay display("weights", false);
    CHECK(display.text_for(at(0.5, 10, 0.1)).empty());
    CHECK(display.text_for(at(1.0, 10, 0.5)) == "weights: 10 % of 10.0 GB, 2.00 GB/s");
    CHECK(display.text_for(at(1.9, 10, 0.6)).empty());
    CHECK(display.text_for(at(4.5, 10, 1.5)) == "weights: 40 % of 10.0 GB, 3.00 GB/s");
    CHECK(display.text_for(at(10, 10, 4)) == "weights: 100 % of 10.0 GB, 2.50 GB/s");
    CHECK(display.text_for(at(10, 10, 4)).empty());
}

TEST_CASE("progress on a terminal is a bar with rate and time left") {
    ProgressDisplay display("weights", true);
    CHECK(display.text_for(at(4, 10, 2)) ==
          "\r\x1b[Kweights [############..................] 4.0 / 10.0 GB  2.00 GB/s  3 s left");
    CHECK(display.text_for(at(5, 10, 2.05)).empty());
    CHECK(display.text_for(at(10, 10, 2.06)).ends_with("in 2.1 s\n"));
}
