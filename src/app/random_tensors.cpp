#include "app/random_tensors.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <span>
#include <string_view>
#include <utility>

#include "base/random.h"

namespace baltoro {
namespace {

constexpr std::size_t kTableSize = 1 << 16;  // four draws from one random word

// Deviation of the codes: the outermost of 65,536 quantiles is 4.3 deviations out, so ordinary
// weights reach 275 and those of an outlier channel the largest code of 448.
constexpr float kCodeDeviation = 64.0f;
constexpr float kOutlier = 2.5f;  // how far outlier input channels stand out
constexpr std::int64_t kChannelsPerOutlier = 512;
constexpr double kScaleJitter = 0.2;  // deviation of the logarithm of a block scale

// Weights of deviation gain / sqrt(k) give outputs of deviation `gain` for inputs of deviation 1.
// Attention and experts add about a fifth and a third of the embedding's deviation to the residual
// stream, so it grows by a factor of 4 over 61 layers; scores before the softmax have a deviation
// of about 2, logits of about 2.5.
double gain_of(const ExpectedTensor& tensor) {
    const auto ends_with = [&](std::string_view end) { return tensor.name.ends_with(end); };
    if (ends_with("o_proj.weight")) return 0.5;
    if (ends_with("down_proj.weight")) return 0.6;
    if (ends_with("mlp.gate.weight")) return 1.2;
    if (ends_with("lm_head.weight")) return 2.5;
    return 1.0;
}

double deviation_of(const ExpectedTensor& tensor) {
    if (tensor.part == Part::embeddings) return 1.0;
    return gain_of(tensor) / std::sqrt(static_cast<double>(tensor.shape.back()));
}

// One value of a vector: a norm's gain around 1, or the router's small selection bias.
double vector_value(const ExpectedTensor& tensor, Random& random) {
    if (tensor.part == Part::router) return 0.02 * random.normal();
    return 1.0 + 0.1 * random.normal();
}

std::vector<float> normal_quantiles() {
    std::vector<float> table(kTableSize);
    for (std::size_t i = 0; i < kTableSize / 2; ++i) {
        const double p = (static_cast<double>(i) + 0.5) / static_cast<double>(kTableSize);
        double low = -6;
        double high = 0;
        for (int step = 0; step < 40; ++step) {
            const double middle = 0.5 * (low + high);
            (0.5 * std::erfc(-middle * M_SQRT1_2) < p ? low : high) = middle;
        }
        table[i] = static_cast<float>(high);
        table[kTableSize - 1 - i] = static_cast<float>(-high);
    }
    return table;
}

// Input channels (columns) with larger weights.
std::vector<std::int64_t> outlier_channels(std::uint64_t stream, std::int64_t k) {
    Random random(~stream);
    std::vector<std::int64_t> channels(static_cast<std::size_t>(1 + k / kChannelsPerOutlier));
    for (std::int64_t& channel : channels)
        channel = static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(k)));
    std::ranges::sort(channels);
    channels.erase(std::unique(channels.begin(), channels.end()), channels.end());
    return channels;
}

// dst[i] = table[16 random bits], elements [first, first + dst.size()) of the stream; `first` is a
// multiple of 4.
template <typename T>
void draw(std::uint64_t stream,
          const std::vector<T>& table,
          std::uint64_t first,
          std::span<T> dst) {
    Random random(stream);
    random.seek(first / 4);
    const T* values = table.data();
    std::size_t i = 0;
    for (; i + 4 <= dst.size(); i += 4) {
        const std::uint64_t word = random.next();
        const T four[4] = {values[word & 0xffff], values[word >> 16 & 0xffff],
                           values[word >> 32 & 0xffff], values[word >> 48]};
        std::memcpy(&dst[i], four, sizeof four);
    }
    for (std::uint64_t word = random.next(); i < dst.size(); ++i, word >>= 16)
        dst[i] = values[word & 0xffff];
}

// Replaces x by enlarge(x) in the given columns of rows of k elements.
template <typename T, typename Enlarge>
void enlarge_channels(const std::vector<std::int64_t>& channels,
                      std::int64_t k,
                      std::uint64_t first,
                      std::span<T> dst,
                      const Enlarge& enlarge) {
    const std::uint64_t width = static_cast<std::uint64_t>(k);
    for (const std::int64_t channel : channels) {
        const std::uint64_t skip = (static_cast<std::uint64_t>(channel) + width - first % width);
        for (std::uint64_t i = skip % width; i < dst.size(); i += width)
            dst[i] = enlarge(dst[i]);
    }
}

// The bytes as elements; slices begin at multiples of the element and the buffer is aligned.
template <typename T>
std::span<T> as_elements(std::span<std::byte> bytes) {
    return {reinterpret_cast<T*>(bytes.data()), bytes.size() / sizeof(T)};
}

}  // namespace

RandomTensors::RandomTensors(std::uint64_t seed)
    : seed_(seed), normal_(normal_quantiles()), code_(kTableSize) {
    for (std::size_t i = 0; i < kTableSize; ++i)
        code_[i] = e4m3_from_float(normal_[i] * kCodeDeviation);
    for (std::size_t code = 0; code < outlier_code_.size(); ++code) {
        const float value = float_from_e4m3(static_cast<e4m3_t>(code));
        outlier_code_[code] = e4m3_from_float(value * kOutlier);
    }
}

std::uint64_t RandomTensors::stream_of(std::string_view name) const noexcept {
    std::uint64_t hash = 0xcbf29ce484222325ull;  // FNV-1a
    for (const char c : name)
        hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3ull;
    return Random(seed_).next() ^ hash;
}

TensorToWrite RandomTensors::weight(const ExpectedTensor& tensor) const {
    if (tensor.shape.size() == 1) return vector(tensor);
    return tensor.may_be_fp8 ? codes(tensor) : matrix(tensor);
}

TensorToWrite RandomTensors::codes(const ExpectedTensor& tensor) const {
    const std::uint64_t stream = stream_of(tensor.name);
    const std::int64_t k = tensor.shape.back();
    const auto fill = [this, stream, k, channels = outlier_channels(stream, k)](
                          std::uint64_t offset, std::span<std::byte> dst) {
        const auto elements = as_elements<e4m3_t>(dst);
        draw(stream, code_, offset, elements);
        enlarge_channels(channels, k, offset, elements,
                         [this](e4m3_t code) { return outlier_code_[code]; });
    };
    return {tensor.name, DType::f8_e4m3, tensor.shape, fill};
}

TensorToWrite RandomTensors::scale(const ExpectedTensor& tensor) const {
    const ExpectedTensor scale = scale_of(tensor);
    const std::uint64_t stream = stream_of(scale.name);
    const double middle = deviation_of(tensor) / static_cast<double>(kCodeDeviation);
    const auto fill = [stream, middle](std::uint64_t offset, std::span<std::byte> dst) {
        Random random(stream);
        random.seek(offset / sizeof(float) * 2);  // a normal number takes two
        for (float& value : as_elements<float>(dst))
            value = static_cast<float>(middle * std::exp(kScaleJitter * random.normal()));
    };
    return {scale.name, DType::f32, scale.shape, fill};
}

TensorToWrite RandomTensors::matrix(const ExpectedTensor& tensor) const {
    const std::uint64_t stream = stream_of(tensor.name);
    const std::int64_t k = tensor.shape.back();
    const float deviation = static_cast<float>(deviation_of(tensor));
    // Shared by the copies that a std::function may make of the closure.
    const auto table = std::make_shared<std::vector<bf16_t>>(kTableSize);
    std::ranges::transform(normal_, table->begin(),
                           [&](float z) { return bf16_from_float(z * deviation); });
    const auto fill = [stream, k, table, channels = outlier_channels(stream, k)](
                          std::uint64_t offset, std::span<std::byte> dst) {
        const std::uint64_t first = offset / sizeof(bf16_t);
        const auto elements = as_elements<bf16_t>(dst);
        draw(stream, *table, first, elements);
        enlarge_channels(channels, k, first, elements, [](bf16_t value) {
            return bf16_from_float(float_from_bf16(value) * kOutlier);
        });
    };
    return {tensor.name, DType::bf16, tensor.shape, fill};
}

TensorToWrite RandomTensors::vector(const ExpectedTensor& tensor) const {
    const bool is_bias = tensor.part == Part::router;
    const std::uint64_t stream = stream_of(tensor.name);
    const auto fill = [tensor, stream, is_bias](std::uint64_t offset, std::span<std::byte> dst) {
        Random random(stream);
        random.seek(offset / (is_bias ? sizeof(float) : sizeof(bf16_t)) * 2);
        if (is_bias) {
            for (float& value : as_elements<float>(dst))
                value = static_cast<float>(vector_value(tensor, random));
            return;
        }
        for (bf16_t& value : as_elements<bf16_t>(dst))
            value = bf16_from_float(static_cast<float>(vector_value(tensor, random)));
    };
    return {tensor.name, is_bias ? DType::f32 : DType::bf16, tensor.shape, fill};
}

}  // namespace baltoro
