#include <algorithm>
#include <ctime>
#include <string>
#include <vector>

#include <fmt/chrono.h>

#include "app/bench_table.h"
#include "app/runtime.h"
#include "app/speed_bench.h"
#include "app/version.h"
#include "model/inspect.h"
#include "numa/bandwidth.h"
#include "numa/topology.h"
#include "tools/commands.h"
#include "tools/write_out.h"

namespace baltoro {
namespace {

// Without --ctx-size, as much context as the tests take: a GPU has to hold all of it.
RuntimeOptions options_for(RuntimeOptions options, const std::vector<BenchTest>& tests) {
    if (options.context_size == 0)
        for (const BenchTest& test : tests)
            options.context_size = std::max(options.context_size, test.n_context());
    return options;
}

BenchSetup describe(const BenchCommand& command,
                    const Runtime& runtime,
                    const numa::Topology& topology) {
    const InspectReport report = inspect_checkpoint(runtime.config, runtime.checkpoint);
    return {commit_text(),
            topology.cpu_model,
            runtime.device->describe(),
            command.runtime.model_dir,
            runtime.config.model_type,
            report.n_bytes,
            report.n_weights,
            runtime.model->weight_bytes_per_token(),
            runtime.team->size(),
            runtime.model->limits().max_rows,
            runtime.load_s};
}

}  // namespace

int run_command(const BenchCommand& command) {
    const BenchFormat format = bench_format(command.output);
    const std::vector<BenchTest> tests = bench_tests(command);
    const numa::Topology topology = numa::discover_topology();
    Runtime runtime = make_runtime(options_for(command.runtime, tests), TextFiles::none);
    const BenchSetup setup = describe(command, runtime, topology);
    Session session(*runtime.model, runtime.context_size);
    SpeedBench bench(session, runtime.config.vocab_size, command.seed);
    const auto read_rate = [&] { return numa::measure_read_bandwidth(*runtime.team, topology); };
    write_out(bench_head(format, setup));
    int line_idx = 0;
    for (const BenchTest& test : tests) {
        BenchResult result{test, {}, read_rate(), {}};
        result.time = fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(std::time(nullptr)));
        result.seconds = bench.run(test, command.n_repetitions, !command.no_warm_up);
        // Neighbours on a shared machine change the rate; the ceiling is the better of two.
        result.machine_read_bytes_per_s = std::max(result.machine_read_bytes_per_s, read_rate());
        write_out(bench_line(format, setup, result, line_idx++));
    }
    write_out(bench_foot(format, setup));
    return 0;
}

}  // namespace baltoro
