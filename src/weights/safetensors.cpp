#include "weights/safetensors.h"

#include <bit>
#include <cstring>

#include <fmt/format.h>

#include "base/error.h"
#include "weights/safetensors_header.h"

namespace baltoro {

static_assert(std::endian::native == std::endian::little, "safetensors files are little-endian");

SafetensorsFile::SafetensorsFile(const std::string& path) : file_(path) {
    const std::span<const std::byte> bytes = file_.bytes();
    std::uint64_t header_bytes = 0;
    if (bytes.size() < sizeof header_bytes) {
        throw Error(fmt::format(
            "{}: has {} bytes, too few for the 8-byte header length of a safetensors file", path,
            bytes.size()));
    }
    std::memcpy(&header_bytes, bytes.data(), sizeof header_bytes);
    const std::uint64_t rest_bytes = bytes.size() - sizeof header_bytes;
    if (header_bytes > kMaxSafetensorsHeaderBytes) {
        throw Error(
            fmt::format("{}: the header claims {} bytes, at most {} are accepted; is this a "
                        "safetensors file?",
                        path, header_bytes, kMaxSafetensorsHeaderBytes));
    }
    if (header_bytes > rest_bytes) {
        throw Error(fmt::format("{}: the header claims {} bytes, but only {} follow (truncated?)",
                                path, header_bytes, rest_bytes));
    }
    data_begin_ = sizeof header_bytes + header_bytes;
    const std::string_view header(reinterpret_cast<const char*>(bytes.data()) + sizeof header_bytes,
                                  header_bytes);
    entries_ = parse_safetensors_header(header, rest_bytes - header_bytes, path);
}

TensorView SafetensorsFile::view(const TensorEntry& entry) const {
    return {.dtype = entry.dtype,
            .shape = entry.shape,
            .data = file_.bytes().data() + data_begin_ + entry.begin,
            .size_bytes = entry.end - entry.begin};
}

}  // namespace baltoro
