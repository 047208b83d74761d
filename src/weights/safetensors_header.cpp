#include "weights/safetensors_header.h"

#include <algorithm>
#include <cstddef>
#include <string>
#include <utility>

#include <fmt/format.h>

#include "base/error.h"
#include "weights/strict_json.h"

namespace baltoro {
namespace {

constexpr int kMaxDepth = 8;
constexpr std::size_t kMaxRank = 16;
constexpr std::string_view kMetadata = "__metadata__";

// Collects the tensors of a header while it is walked.
class HeaderReader {
  public:
    HeaderReader(std::string_view source, std::uint64_t data_bytes)
        : source_(source), data_bytes_(data_bytes) {}

    void visit(JsonPath path, const JsonValue& value) {
        if (path.empty()) {
            if (value.kind != JsonKind::object)
                throw Error(fmt::format("{}: the header is not a JSON object", source_));
        } else if (path[0] == kMetadata) {
            read_metadata(path, value);
        } else if (path.size() == 1) {
            start_tensor(path[0], value);
        } else if (path.size() == 2) {
            read_field(path[1], value);
        } else {
            read_element(path, value);
        }
    }

    std::vector<TensorEntry> finish() {
        finish_tensor();
        return std::move(tensors_);
    }

  private:
    [[noreturn]] void fail(std::string_view reason) const {
        throw Error(
            fmt::format("{}: tensor {}: {}", source_, in_quotes(tensors_.back().name), reason));
    }

    void read_metadata(JsonPath path, const JsonValue& value) const {
        const JsonKind accepted = path.size() == 1 ? JsonKind::object : JsonKind::string;
        if (value.kind == accepted) return;
        throw Error(fmt::format("{}: __metadata__ has to be an object of strings", source_));
    }

    void start_tensor(const std::string& name, const JsonValue& value) {
        finish_tensor();
        tensors_.push_back({.name = name, .dtype = {}, .shape = {}});
        has_dtype_ = false;
        has_shape_ = false;
        n_offsets_ = 0;
        if (value.kind != JsonKind::object)
            fail("has to be an object with dtype, shape and data_offsets");
    }

    void read_field(const std::string& field, const JsonValue& value) {
        if (field == "dtype") {
            if (value.kind != JsonKind::string) fail("dtype has to be a string");
            const std::optional<DType> dtype = dtype_from_name(value.text);
            if (!dtype) fail("unknown dtype " + in_quotes(value.text));
            tensors_.back().dtype = *dtype;
            has_dtype_ = true;
        } else if (field == "shape") {
            if (value.kind != JsonKind::array) fail("shape has to be an array");
            has_shape_ = true;
        } else if (field == "data_offsets") {
            if (value.kind != JsonKind::array) fail("data_offsets has to be an array");
        } else {
            fail("unknown field " + in_quotes(field));
        }
    }

    void read_element(JsonPath path, const JsonValue& value) {
        TensorEntry& tensor = tensors_.back();
        if (value.kind != JsonKind::integer || value.integer < 0) {
            fail(path[1] + " has to hold integers from 0 to 2^63 - 1, found " + spelled(value));
        }
        if (path[1] == "shape") {
            if (tensor.shape.size() == kMaxRank)
                fail(fmt::format("shape has more than {} dimensions", kMaxRank));
            tensor.shape.push_back(value.integer);
            return;
        }
        if (n_offsets_ == 2) fail("data_offsets has more than two numbers");
        (n_offsets_ == 0 ? tensor.begin : tensor.end) = static_cast<std::uint64_t>(value.integer);
        ++n_offsets_;
    }

    void finish_tensor() const {
        if (tensors_.empty()) return;
        const TensorEntry& tensor = tensors_.back();
        if (!has_dtype_) fail("has no dtype");
        if (!has_shape_) fail("has no shape");
        if (n_offsets_ != 2)
            fail(fmt::format("data_offsets has {} numbers, expected 2", n_offsets_));
        if (tensor.begin > tensor.end) {
            fail(fmt::format("data_offsets [{}, {}] run backwards", tensor.begin, tensor.end));
        }
        if (tensor.end > data_bytes_) {
            fail(
                fmt::format("data_offsets [{}, {}] pass the end of the file, whose data section "
                            "has {} bytes; is the file complete?",
                            tensor.begin, tensor.end, data_bytes_));
        }
        const std::uint64_t n_bytes = tensor_bytes(tensor, source_);
        if (n_bytes == tensor.end - tensor.begin) return;
        fail(fmt::format("{} of shape [{}] takes {} bytes, but data_offsets [{}, {}] hold {}",
                         dtype_name(tensor.dtype), fmt::join(tensor.shape, ", "), n_bytes,
                         tensor.begin, tensor.end, tensor.end - tensor.begin));
    }

    std::string_view source_;
    std::uint64_t data_bytes_;
    std::vector<TensorEntry> tensors_;
    bool has_dtype_ = false;
    bool has_shape_ = false;
    int n_offsets_ = 0;
};

// Precondition: `tensors` is sorted by (begin, end).
void check_coverage(const std::vector<TensorEntry>& tensors,
                    std::uint64_t data_bytes,
                    std::string_view source) {
    std::uint64_t covered = 0;
    for (const TensorEntry& tensor : tensors) {
        if (tensor.begin != covered) {
            throw Error(fmt::format(
                "{}: tensor {}: data_offsets [{}, {}] {}: the tensor before ends at {}", source,
                in_quotes(tensor.name), tensor.begin, tensor.end,
                tensor.begin < covered ? "overlap another tensor" : "leave a gap", covered));
        }
        covered = tensor.end;
    }
    if (covered == data_bytes) return;
    throw Error(fmt::format(
        "{}: the data section has {} bytes, but the tensors of the header end at {} (gap at the "
        "end)",
        source, data_bytes, covered));
}

}  // namespace

std::uint64_t tensor_bytes(const TensorEntry& tensor, std::string_view source) {
    std::uint64_t n_bytes = dtype_bytes(tensor.dtype);
    for (const std::int64_t dimension : tensor.shape) {
        if (dimension >= 0 &&
            !__builtin_mul_overflow(n_bytes, static_cast<std::uint64_t>(dimension), &n_bytes))
            continue;
        throw Error(fmt::format("{}: tensor {}: shape [{}] is negative or too large (overflow)",
                                source, in_quotes(tensor.name), fmt::join(tensor.shape, ", ")));
    }
    return n_bytes;
}

std::vector<TensorEntry> parse_safetensors_header(std::string_view header,
                                                  std::uint64_t data_bytes,
                                                  std::string_view source) {
    // The format asks for this byte; the JSON parser would also skip spaces and a byte order mark.
    if (header.empty() || header[0] != '{')
        throw Error(fmt::format("{}: the header is not a JSON object", source));
    HeaderReader reader(source, data_bytes);
    walk_json(header, source, kMaxDepth,
              [&](JsonPath path, const JsonValue& value) { reader.visit(path, value); });
    std::vector<TensorEntry> tensors = reader.finish();
    std::sort(tensors.begin(), tensors.end(), [](const TensorEntry& a, const TensorEntry& b) {
        return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
    });
    check_coverage(tensors, data_bytes, source);
    return tensors;
}

}  // namespace baltoro
