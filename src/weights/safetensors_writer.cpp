#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <set>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "weights/parallel.h"
#include "weights/safetensors.h"
#include "weights/safetensors_header.h"
#include "weights/strict_json.h"

namespace baltoro {
namespace {

constexpr std::uint64_t kSliceBytes = kTensorSliceBytes;
constexpr std::uint64_t kDataAlignment = 64;

// A rename would put a file in the place of a device or a fifo.
const std::string& not_special(const std::string& path) {
    struct stat status {};
    if (stat(path.c_str(), &status) == 0 && !S_ISREG(status.st_mode))
        throw Error(path + ": is not a regular file; name a new file or one to replace");
    return path;
}

// A file under a temporary name that takes its final one when it is complete, or goes away.
class PartialFile {
  public:
    explicit PartialFile(const std::string& path)
        : path_(not_special(path)),
          partial_path_(fmt::format("{}.partial-{}", path, getpid())),
          number_(open(partial_path_.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644)) {
        if (number_ < 0) throw system_error(partial_path_ + ": cannot create", errno);
    }
    ~PartialFile() {
        if (number_ >= 0) close(number_);
        if (!partial_path_.empty()) unlink(partial_path_.c_str());
    }
    PartialFile(const PartialFile&) = delete;
    PartialFile& operator=(const PartialFile&) = delete;

    void reserve(std::uint64_t n_bytes) const {
        if (n_bytes == 0) return;
        const int failure = posix_fallocate(number_, 0, static_cast<off_t>(n_bytes));
        if (failure != 0) {
            throw system_error(fmt::format("{}: cannot reserve {} bytes", partial_path_, n_bytes),
                               failure);
        }
    }

    // Any thread.
    void write_at(std::uint64_t offset, std::span<const std::byte> bytes) const {
        while (!bytes.empty()) {
            const ssize_t n =
                pwrite(number_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
            if (n < 0 && errno == EINTR) continue;
            if (n <= 0) throw system_error(partial_path_ + ": cannot write", errno);
            bytes = bytes.subspan(static_cast<std::size_t>(n));
            offset += static_cast<std::uint64_t>(n);
        }
    }

    void publish() {
        if (close(std::exchange(number_, -1)) != 0)
            throw system_error(partial_path_ + ": cannot close", errno);
        if (std::rename(partial_path_.c_str(), path_.c_str()) != 0)
            throw system_error(path_ + ": cannot give the finished file its name", errno);
        partial_path_.clear();
    }

  private:
    std::string path_;
    std::string partial_path_;
    int number_;
};

// A tensor and where its bytes go in the data section.
struct Placed {
    const TensorToWrite* tensor;
    TensorEntry entry;
};

// Wide elements first, so that every tensor is aligned to its element: the format allows no gaps.
std::vector<Placed> place(const std::string& path, const std::vector<TensorToWrite>& tensors) {
    std::vector<Placed> placed;
    std::set<std::string_view> names;
    for (const TensorToWrite& tensor : tensors) {
        if (!names.insert(tensor.name).second || tensor.name == "__metadata__") {
            throw Error(fmt::format("{}: the name {} is taken", path, in_quotes(tensor.name)));
        }
        placed.push_back({&tensor, {tensor.name, tensor.dtype, tensor.shape}});
    }
    std::stable_sort(placed.begin(), placed.end(), [](const Placed& a, const Placed& b) {
        return dtype_bytes(a.entry.dtype) > dtype_bytes(b.entry.dtype);
    });
    std::uint64_t offset = 0;
    for (Placed& item : placed) {
        item.entry.begin = offset;
        offset += tensor_bytes(item.entry, path);
        item.entry.end = offset;
    }
    return placed;
}

// The header with its length in front, padded so that the data section is aligned.
std::string header_text(const std::vector<Placed>& placed) {
    std::string text = std::string(8, '\0') + R"({"__metadata__":{"format":"pt"})";
    for (const Placed& item : placed) {
        const TensorEntry& entry = item.entry;
        text += fmt::format(R"(,{}:{{"dtype":"{}","shape":[{}],"data_offsets":[{},{}]}})",
                            nlohmann::json(entry.name).dump(), dtype_name(entry.dtype),
                            fmt::join(entry.shape, ","), entry.begin, entry.end);
    }
    text += '}';
    text.resize((text.size() + kDataAlignment - 1) / kDataAlignment * kDataAlignment, ' ');
    const std::uint64_t header_bytes = text.size() - 8;
    for (int i = 0; i < 8; ++i)
        text[i] = static_cast<char>(header_bytes >> (8 * i));
    return text;
}

struct Slice {
    const Placed* item;
    std::uint64_t offset;
    std::uint64_t n_bytes;
};

std::vector<Slice> cut_slices(const std::vector<Placed>& placed) {
    std::vector<Slice> slices;
    for (const Placed& item : placed) {
        const std::uint64_t n_bytes = item.entry.end - item.entry.begin;
        for (std::uint64_t offset = 0; offset < n_bytes; offset += kSliceBytes) {
            slices.push_back({&item, offset, std::min(kSliceBytes, n_bytes - offset)});
        }
    }
    return slices;
}

}  // namespace

void write_safetensors(const std::string& path,
                       const std::vector<TensorToWrite>& tensors,
                       int n_threads) {
    const std::vector<Placed> placed = place(path, tensors);
    const std::string header = header_text(placed);
    if (header.size() - 8 > kMaxSafetensorsHeaderBytes)
        throw Error(fmt::format("{}: {} tensors are too many for one file", path, tensors.size()));
    PartialFile file(path);
    file.reserve(header.size() + (placed.empty() ? 0 : placed.back().entry.end));
    file.write_at(0, std::as_bytes(std::span(header)));
    const std::vector<Slice> slices = cut_slices(placed);
    for_each_index(slices.size(), n_threads, [&](std::size_t i) {
        const Slice& slice = slices[i];
        thread_local std::vector<std::byte> buffer;
        buffer.resize(slice.n_bytes);
        slice.item->tensor->fill(slice.offset, buffer);
        file.write_at(header.size() + slice.item->entry.begin + slice.offset, buffer);
    });
    file.publish();
}

}  // namespace baltoro
