#include "weights/load_progress.h"

#include <sys/mman.h>
#include <unistd.h>

#include <fstream>
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
    const std::span<const std::byte> bytes = checkpoint.shards()[0].file().bytes();
    const std::size_t page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
    std::vector<unsigned char> resident((bytes.size() + page - 1) / page);
    REQUIRE(mincore(const_cast<std::byte*>(bytes.data()), bytes.size(), resident.data()) == 0);
    for (const unsigned char is_resident : resident)
        CHECK((is_resident & 1) == 1);
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
