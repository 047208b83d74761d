#include "tests/cpu_kernels/bench_options.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <optional>
#include <string_view>

namespace baltoro::kernels {

const char kBenchHelp[] =
    "cpu_check [doctest options]   runs the checks\n"
    "cpu_check --bench             measures the products at hidden 7168, expert width 2048,\n"
    "                              transposed ones of 64 heads' keys, 128 x 512 each\n"
    "  --json FILE     also writes the results there (default: none)\n"
    "  --isa LEVEL     scalar, avx2, avx512, avx512_bf16, amx (default: the fastest of this CPU)\n"
    "  --threads N     pinned threads (default: one per CPU)\n"
    "  --pool-mb N     cold weights to cycle through, at least 64 (default: 1024)\n"
    "  --samples N     samples of each figure, the median counts (default: 3)\n"
    "  --clock wall|cpu  cpu counts the threads' own time, for a machine that does other work at\n"
    "                  the same time (default: wall)\n"
    "  --op TEXT       only operations whose name contains it (default: all)\n"
    "  --rows N,N      only these activation rows, each 1 to 256; over 16 panels alone (default:\n"
    "                  1 to 16 for rows and 4 to 256 for panels, in powers of two)\n"
    "  --pages 2m|4k   page size of the weights (default: both)\n";

namespace {

constexpr int64_t kLeastPoolMb = 64;
constexpr int64_t kMostSamples = 1000;

struct Bounds {
    int64_t least;
    int64_t most;
};

Result<int64_t> number(std::string_view name, std::string_view text, Bounds bounds) {
    int64_t value = 0;
    const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (failure != std::errc() || end != text.data() + text.size() || value < bounds.least ||
        value > bounds.most)
        return Failure{fmt::format("{} wants a whole number from {} to {}, got '{}'", name,
                                   bounds.least, bounds.most, text)};
    return value;
}

Result<std::string> one_of(std::string_view name,
                           std::string_view text,
                           std::string_view first,
                           std::string_view second) {
    if (text == first || text == second) return std::string(text);
    return Failure{fmt::format("{} wants {} or {}, got '{}'", name, first, second, text)};
}

Result<std::vector<int>> row_list(std::string_view text) {
    std::vector<int> rows;
    for (size_t begin = 0; begin <= text.size();) {
        const size_t comma = std::min(text.find(',', begin), text.size());
        const auto n = number("--rows", text.substr(begin, comma - begin), {1, kMostRows});
        if (!n) return Failure{n.error()};
        rows.push_back(static_cast<int>(n.value()));
        begin = comma + 1;
    }
    return rows;
}

Result<IsaLevel> level(std::string_view name) {
    const Result<IsaLevel> isa = isa_from_name(name);
    if (isa && isa.value() > highest_isa())
        return Failure{fmt::format("this CPU does not run {}; its highest level is {}", name,
                                   isa_name(highest_isa()))};
    return isa;
}

int64_t memory_mb() {
    return static_cast<int64_t>(sysconf(_SC_PHYS_PAGES)) * sysconf(_SC_PAGESIZE) >> 20;
}

// Stores the value, or returns what is wrong with it.
template <typename T, typename U>
std::optional<std::string> store(const Result<T>& from, U& to) {
    if (!from) return from.error();
    to = static_cast<U>(from.value());
    return std::nullopt;
}

std::optional<std::string> set_option(Options& o, std::string_view name, const std::string& value) {
    if (name == "--json") return store(Result<std::string>(value), o.json);
    if (name == "--op") return store(Result<std::string>(value), o.op);
    if (name == "--isa") return store(level(value), o.isa);
    if (name == "--threads") return store(number(name, value, {1, n_allowed_cpus()}), o.n_threads);
    if (name == "--pool-mb")
        return store(number(name, value, {kLeastPoolMb, memory_mb()}), o.pool_mb);
    if (name == "--samples") return store(number(name, value, {1, kMostSamples}), o.n_samples);
    if (name == "--rows") return store(row_list(value), o.rows);
    if (name == "--pages") return store(one_of(name, value, "2m", "4k"), o.pages.emplace_back());
    std::string clock;
    const auto wrong = store(one_of(name, value, "wall", "cpu"), clock);
    o.clock = clock == "cpu" ? Clock::cpu : Clock::wall;
    return wrong;
}

bool takes_value(std::string_view name) {
    constexpr std::string_view kNames[] = {"--json",    "--op",      "--isa",
                                           "--threads", "--pool-mb", "--samples",
                                           "--rows",    "--pages",   "--clock"};
    return std::find(std::begin(kNames), std::end(kNames), name) != std::end(kNames);
}

}  // namespace

Result<Options> parse_options(std::span<char* const> arguments) {
    Options o;
    const std::vector<std::string> all_pages = std::move(o.pages);
    o.pages.clear();
    for (size_t i = 0; i < arguments.size(); ++i) {
        const std::string_view name = arguments[i];
        if (name == "--bench") continue;
        if (name == "--help") {
            o.help = true;
            continue;
        }
        if (!takes_value(name)) return Failure{fmt::format("{} is unknown; see --help", name)};
        if (i + 1 == arguments.size()) return Failure{fmt::format("{} needs a value", name)};
        const auto wrong = set_option(o, name, arguments[++i]);
        if (wrong) return Failure{*wrong};
    }
    if (o.pages.empty()) o.pages = all_pages;
    if (ops_of(o).empty())
        return Failure{fmt::format("no operation of {} is left by --op '{}' and --rows",
                                   isa_name(o.isa), o.op)};
    return o;
}

std::vector<Op> ops_of(const Options& options) {
    std::vector<int> few = {1, 2, 4, 8, 16};
    std::vector<int> many = {4, 8, 16, 32, 64, 128, 256};
    if (!options.rows.empty()) few = many = options.rows;
    std::erase_if(few, [](int n) { return n > kMaxRows; });
    if (options.isa == IsaLevel::scalar) many.clear();  // the reference
    std::vector<Op> ops;
    const auto add = [&](const char* name, Product product, const std::vector<int>& rows) {
        for (const int n_rows : rows)
            ops.push_back({name, product, n_rows});
    };
    add("rows_gate_up", Product::rows_gate_up, few);
    add("panels_gate_up", Product::panels_gate_up, many);
    add("rows_product", Product::rows_product, few);
    add("panels_product", Product::panels_product, many);
    add("transposed", Product::transposed, few);
    std::erase_if(ops, [&](const Op& op) {
        return std::string_view(op.name).find(options.op) == std::string_view::npos;
    });
    return ops;
}

}  // namespace baltoro::kernels
