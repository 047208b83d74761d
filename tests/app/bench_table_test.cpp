#include "app/bench_table.h"

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include "base/error.h"

using namespace baltoro;

namespace {

BenchSetup example_setup() {
    return {"abc1234",
            "A \"fast\" CPU",
            "cpu, avx2, 4 threads",
            "/models/k2",
            "kimi_k2",
            1'030'000'000,
            1'000'000'000,
            500'000'000,
            4,
            512,
            1.5};
}

// 10 and 30 steps a second: 20 on average, 10 GB/s of the 40 that the machine reads.
BenchResult example_decode() {
    return {{0, 30, 4096}, {3.0, 1.0}, 40e9, "2026-01-02T03:04:05Z"};
}

BenchResult example_prefill() {
    return {{512, 0, 0}, {2.0}, 40e9, "2026-01-02T03:04:05Z"};
}

BenchCommand lists(std::vector<int> prompts, std::vector<int> generated, std::vector<int> depths) {
    BenchCommand command;
    command.prompt_tokens = std::move(prompts);
    command.generated_tokens = std::move(generated);
    command.depths = std::move(depths);
    return command;
}

}  // namespace

TEST_CASE("tests are named as llama-bench names them") {
    CHECK(BenchTest{512, 0, 0}.name() == "pp512");
    CHECK(BenchTest{0, 128, 32768}.name() == "tg128 @ d32768");
}

TEST_CASE("lists of lengths and depths are crossed, zeros left out") {
    std::string names;
    for (const BenchTest& test : bench_tests(lists({16, 0, 32}, {8}, {0, 100})))
        names += test.name() + ", ";
    CHECK(names == "pp16, pp32, tg8, pp16 @ d100, pp32 @ d100, tg8 @ d100, ");
}

TEST_CASE("nothing to measure and too small a context are errors") {
    CHECK_THROWS_WITH_AS(bench_tests(lists({0}, {0}, {0})), doctest::Contains("nothing to measure"),
                         Error);
    BenchCommand command = lists({0}, {24}, {1000});
    command.runtime.context_size = 1023;
    CHECK_THROWS_WITH_AS(bench_tests(command), doctest::Contains("tg24 @ d1000 needs 1024 tokens"),
                         Error);
    command.runtime.context_size = 1024;
    CHECK(bench_tests(command).size() == 1);
}

TEST_CASE("decoding starts behind one token at least") {
    CHECK(BenchTest{0, 8, 0}.n_context() == 9);
    CHECK(BenchTest{8, 0, 0}.n_context() == 8);
}

TEST_CASE("a line of the table has mean, deviation and the share of the bandwidth") {
    CHECK(
        bench_line(BenchFormat::markdown, example_setup(), example_decode(), 0) ==
        "| kimi_k2 | 1.03 GB | 1.00 B | cpu, avx2, 4 threads | 4 | tg30 @ d4096 | 20.00 ± 14.14 | "
        "2.000 | 10.0 | 25 % of 40.0 |\n");
    CHECK(bench_line(BenchFormat::markdown, example_setup(), example_prefill(), 1) ==
          "| kimi_k2 | 1.03 GB | 1.00 B | cpu, avx2, 4 threads | 4 | pp512 | 256.00 ± 0.00 | 2.000 "
          "|  |  |\n");
}

TEST_CASE("JSON is one list of objects, whatever the number of lines") {
    const BenchSetup setup = example_setup();
    const std::string text = bench_head(BenchFormat::json, setup) +
                             bench_line(BenchFormat::json, setup, example_decode(), 0) +
                             bench_line(BenchFormat::json, setup, example_prefill(), 1) +
                             bench_foot(BenchFormat::json, setup);
    const auto json = nlohmann::json::parse(text);
    REQUIRE(json.size() == 2);
    CHECK(json[0]["n_gen"] == 30);
    CHECK(json[0]["n_depth"] == 4096);
    CHECK(json[0]["avg_ns"] == 2'000'000'000);
    CHECK(json[0]["samples_ns"] == std::vector<std::int64_t>{3'000'000'000, 1'000'000'000});
    CHECK(json[0]["avg_ts"] == 20.0);
    CHECK(json[0]["read_gb_s"] == doctest::Approx(10.0));
    CHECK(json[0]["percent_of_bandwidth"] == doctest::Approx(25.0));
    CHECK(json[1]["n_prompt"] == 512);
    CHECK(json[1]["stddev_ts"] == 0.0);
    CHECK(json[1]["read_gb_s"] == 0.0);
}

TEST_CASE("JSON lines stand alone") {
    const BenchSetup setup = example_setup();
    const std::string line = bench_line(BenchFormat::jsonl, setup, example_decode(), 3);
    CHECK(line.find('\n') == line.size() - 1);
    CHECK(nlohmann::json::parse(line)["build_commit"] == "abc1234");
    CHECK(bench_head(BenchFormat::jsonl, setup) + bench_foot(BenchFormat::jsonl, setup) == "");
}

TEST_CASE("CSV has a name for every field and doubles quotes") {
    const BenchSetup setup = example_setup();
    const std::string head = bench_head(BenchFormat::csv, setup);
    const std::string line = bench_line(BenchFormat::csv, setup, example_decode(), 0);
    CHECK(head.substr(0, 22) == "build_commit,cpu_info,");
    CHECK(line.substr(0, 29) == "\"abc1234\",\"A \"\"fast\"\" CPU\",\"c");
    CHECK(line.find(",30,4096,\"2026-01-02T03:04:05Z\",2000000000,") != std::string::npos);
}

TEST_CASE("a format has one of four names") {
    CHECK(bench_format("jsonl") == BenchFormat::jsonl);
    CHECK_THROWS_WITH_AS(bench_format("xml"), doctest::Contains("xml"), Error);
}
