#include "cpu_kernels/isa.h"
#include "cpu_kernels/scalar/scalar.h"

namespace baltoro::kernels {
namespace {

// Every level starts from the one below it and overrides what it does better.
struct Tables {
    Table levels[static_cast<int>(IsaLevel::amx) + 1];

    Tables() noexcept {
        Table table{};
        fill_scalar(table);
        levels[static_cast<int>(IsaLevel::scalar)] = table;
        levels[static_cast<int>(IsaLevel::avx2)] = table;
        levels[static_cast<int>(IsaLevel::avx512)] = table;
        levels[static_cast<int>(IsaLevel::avx512_bf16)] = table;
        levels[static_cast<int>(IsaLevel::amx)] = table;
    }
};

}  // namespace

const Table& table_for(IsaLevel level) noexcept {
    static const Tables tables;
    return tables.levels[static_cast<int>(level)];
}

}  // namespace baltoro::kernels
