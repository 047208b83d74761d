#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/mapped_file.h"
#include "base/tensor_view.h"

namespace baltoro {

// One tensor of a safetensors header.
struct TensorEntry {
    std::string name;
    DType dtype = DType::f32;
    std::vector<std::int64_t> shape;
    std::uint64_t begin = 0;  // byte offsets from the start of the file's data section
    std::uint64_t end = 0;
};

// A safetensors file, mapped and checked: the header is valid JSON of bounded size and depth
// without duplicate keys, and the tensors' ranges lie inside the file, match shape x dtype, do not
// overlap and leave no gap. Nothing is allocated on the word of a header before it is checked. Owns
// the mapping; immutable, any thread.
class SafetensorsFile {
  public:
    // Throws Error naming file, tensor and reason.
    explicit SafetensorsFile(const std::string& path);

    const std::string& path() const noexcept { return file_.path(); }
    const std::vector<TensorEntry>& entries() const noexcept { return entries_; }
    TensorView view(const TensorEntry& entry) const;
    const MappedFile& file() const noexcept { return file_; }

  private:
    MappedFile file_;
    std::uint64_t data_begin_ = 0;
    std::vector<TensorEntry> entries_;
};

// Slices in which the bytes of a tensor are asked for when it is written.
constexpr std::uint64_t kTensorSliceBytes = std::uint64_t{4} << 20;

// A tensor to be written: its bytes are asked for in slices that begin at multiples of
// kTensorSliceBytes, so that nothing large is held.
struct TensorToWrite {
    std::string name;  // UTF-8
    DType dtype = DType::f32;
    std::vector<std::int64_t> shape;
    // Fills `dst` with bytes [offset, offset + dst.size()) of the tensor; may run on several
    // threads at once for different slices.
    std::function<void(std::uint64_t offset, std::span<std::byte> dst)> fill;
};

// Writes a safetensors file with `n_threads` writers. Tensors of wide elements come first,
// otherwise in the order given, so every tensor is aligned to its element. The file appears under
// its name only when complete. Throws Error, and what `fill` throws.
void write_safetensors(const std::string& path,
                       const std::vector<TensorToWrite>& tensors,
                       int n_threads = 1);

}  // namespace baltoro
