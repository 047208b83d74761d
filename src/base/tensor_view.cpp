#include "base/tensor_view.h"

#include <array>

namespace baltoro {
namespace {

struct DTypeRow {
    DType dtype;
    std::size_t size_bytes;
    std::string_view name;
};

// In the order of the enumeration, so that a row is found by its index.
constexpr std::array<DTypeRow, 17> kDTypes = {{
    {DType::f32, 4, "F32"},
    {DType::f16, 2, "F16"},
    {DType::bf16, 2, "BF16"},
    {DType::f8_e4m3, 1, "F8_E4M3"},
    {DType::i64, 8, "I64"},
    {DType::i32, 4, "I32"},
    {DType::i16, 2, "I16"},
    {DType::i8, 1, "I8"},
    {DType::u8, 1, "U8"},
    {DType::boolean, 1, "BOOL"},
    {DType::f64, 8, "F64"},
    {DType::f8_e5m2, 1, "F8_E5M2"},
    {DType::f8_e8m0, 1, "F8_E8M0"},
    {DType::u64, 8, "U64"},
    {DType::u32, 4, "U32"},
    {DType::u16, 2, "U16"},
    {DType::c64, 8, "C64"},
}};

constexpr bool rows_follow_the_enumeration() {
    for (std::size_t i = 0; i < kDTypes.size(); ++i) {
        if (kDTypes[i].dtype != static_cast<DType>(i)) return false;
    }
    return true;
}
static_assert(rows_follow_the_enumeration());

}  // namespace

std::size_t dtype_bytes(DType dtype) noexcept {
    return kDTypes[static_cast<std::size_t>(dtype)].size_bytes;
}

std::string_view dtype_name(DType dtype) noexcept {
    return kDTypes[static_cast<std::size_t>(dtype)].name;
}

std::optional<DType> dtype_from_name(std::string_view name) noexcept {
    for (const DTypeRow& row : kDTypes) {
        if (row.name == name) return row.dtype;
    }
    return std::nullopt;
}

}  // namespace baltoro
