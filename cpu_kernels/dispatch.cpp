#include <array>

#include "cpu_kernels/isa.h"
#include "cpu_kernels/levels.h"

namespace baltoro::kernels {
namespace {

constexpr int kLevels = static_cast<int>(IsaLevel::amx) + 1;

std::array<Table, kLevels> build_tables() noexcept {
    constexpr std::array install = {&scalar::install, &avx2::install, &avx512::install,
                                    &avx512_bf16::install, &amx::install};
    std::array<Table, kLevels> tables{};
    Table table{};
    for (int level = 0; level < kLevels; ++level) {
        install[static_cast<size_t>(level)](table);
        tables[static_cast<size_t>(level)] = table;
    }
    return tables;
}

}  // namespace

const Table& table_for(IsaLevel level) noexcept {
    static const std::array<Table, kLevels> tables = build_tables();
    return tables[static_cast<size_t>(level)];
}

}  // namespace baltoro::kernels
