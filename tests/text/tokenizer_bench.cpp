// Encoding speed on one core: tokenizer_bench RANK_FILE [N_RUNS]

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "base/error.h"
#include "base/mapped_file.h"
#include "base/random.h"
#include "text/tokenizer.h"

using namespace baltoro;

namespace {

struct Sample {
    std::string_view name;
    std::string_view text;
};

constexpr std::array<Sample, 5> kSamples = {{
    {"English",
     "The glacier is sixty-three kilometres long, and it's one of the longest outside the polar "
     "regions. Parties walk up its moraine for a week before they see the mountain they came "
     "for; porters carry what's needed, and don't hurry.\n\n"},
    {"code",
     "    for (std::size_t i = 0; i + 1 < n_parts; ++i) {\n        pair[i] = rank_of(piece, i, "
     "i + 2);  // 0x7fffffff if none\n        if (pair[i] < lowest) lowest = pair[i];\n    }\n\n"
     "def read_config(path: str) -> dict[str, int]:\n    return json.loads(open(path).read())\n"},
    {"Chinese",
     "冰川长六十三公里，是极地以外最长的冰川之一。登山队要沿着冰碛走一个星期，才能看见他们要攀登的"
     "那座山。"
     "搬运工背着所有的物资，从不着急。2024年，共有156支队伍到达大本营。\n"},
    {"Russian",
     "Ледник имеет длину шестьдесят три километра и является одним из самых длинных за пределами "
     "полярных областей. Экспедиции неделю идут по морене, прежде чем увидят гору.\n"},
    {"emoji",
     "🏔️ Base camp reached! 🎉🎉 Weather: ☀️ → ❄️ 👩‍🚀 👍🏽 "
     "🇵🇰\n"},
}};

std::string processor_name() {
    std::ifstream cpuinfo("/proc/cpuinfo");
    for (std::string line; std::getline(cpuinfo, line);)
        if (line.starts_with("model name")) return line.substr(line.find(':') + 2);
    return "unknown processor";
}

// Paragraphs of all samples in random order, so that the mix stays the same at any size.
std::string mixed_text(std::size_t size) {
    std::string text;
    Random random(1);
    while (text.size() < size)
        text += kSamples[random.below(kSamples.size())].text;
    return text;
}

std::string repeated(std::string_view sample, std::size_t size) {
    std::string text;
    while (text.size() < size)
        text += sample;
    return text;
}

double seconds_of(const auto& action) {
    const auto start = std::chrono::steady_clock::now();
    action();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

void measure(const Tokenizer& tokenizer, std::string_view name, const std::string& text, int runs) {
    std::vector<double> rates;
    std::size_t n_ids = 0;
    for (int run = 0; run < runs; ++run) {
        const double seconds = seconds_of([&] { n_ids = tokenizer.encode(text).size(); });
        rates.push_back(static_cast<double>(text.size()) / seconds / 1e6);
    }
    std::sort(rates.begin(), rates.end());
    fmt::print(
        "{:10} {:5.2f} MB  {:5.2f} bytes/id  median {:6.1f} MB/s  (min {:.1f}, max {:.1f})\n", name,
        static_cast<double>(text.size()) / 1e6,
        static_cast<double>(text.size()) / static_cast<double>(n_ids), rates[rates.size() / 2],
        rates.front(), rates.back());
}

}  // namespace

int main(int argc, char** argv) {
    if (argc < 2) {
        fmt::print(stderr, "usage: tokenizer_bench RANK_FILE [N_RUNS]\n");
        return 2;
    }
    try {
        const int runs = argc > 2 ? std::max(1, std::atoi(argv[2])) : 7;
        const std::string ranks = read_small_file(argv[1], std::size_t{64} << 20);
        std::vector<double> load_ms;
        for (int run = 0; run < runs; ++run)
            load_ms.push_back(
                1e3 * seconds_of([&] { Tokenizer::from_ranks(ranks, {}, argv[1]).vocab_size(); }));
        std::sort(load_ms.begin(), load_ms.end());
        const Tokenizer tokenizer = Tokenizer::from_ranks(ranks, {}, argv[1]);
        fmt::print("{}, 1 thread, {} runs; load {:.0f} ms\n", processor_name(), runs,
                   load_ms[load_ms.size() / 2]);
        measure(tokenizer, "mixed", mixed_text(4'000'000), runs);
        for (const Sample& sample : kSamples)
            measure(tokenizer, sample.name, repeated(sample.text, 1'000'000), runs);
        measure(tokenizer, "letters x", std::string(25'000, 'x'), runs);
    } catch (const Error& error) {
        fmt::print(stderr, "error: {}\n", error.what());
        return 1;
    }
    return 0;
}
