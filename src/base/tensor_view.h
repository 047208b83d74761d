#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace baltoro {

// Element types of safetensors files: first those that checkpoints of this family use, then those
// which may only occur in tensors that are ignored (a vision tower).
enum class DType {
    f32,
    f16,
    bf16,
    f8_e4m3,
    i64,
    i32,
    i16,
    i8,
    u8,
    boolean,
    f64,
    f8_e5m2,
    f8_e8m0,
    u64,
    u32,
    u16,
    c64
};

// Bytes of one element.
std::size_t dtype_bytes(DType dtype) noexcept;

// The safetensors spelling: "F32", "BF16", "F8_E4M3", ...
std::string_view dtype_name(DType dtype) noexcept;

// The type of that (exact) spelling, if it is one of the above.
std::optional<DType> dtype_from_name(std::string_view name) noexcept;

// A tensor where it lies: row-major, outermost dimension first, no padding. Owns only its shape;
// the owner of the bytes (usually a Checkpoint) must outlive it. `data` is aligned to the element
// only as far as the file is; no more may be assumed.
struct TensorView {
    DType dtype = DType::f32;
    std::vector<std::int64_t> shape;
    const std::byte* data = nullptr;
    std::size_t size_bytes = 0;

    template <typename T>
    const T* as() const noexcept {
        return reinterpret_cast<const T*>(data);
    }
};

}  // namespace baltoro
