#include "tests/reference/linear.h"

#include <algorithm>
#include <cstring>
#include <thread>

#include "base/float_formats.h"
#include "base/tensor_view.h"
#include "weights/parallel.h"

namespace baltoro::reference {
namespace {

constexpr std::int64_t kBlock = 128;

// Files promise no alignment.
template <typename T>
T element(const TensorView& tensor, std::int64_t i) {
    T value;
    std::memcpy(&value, tensor.data + i * static_cast<std::int64_t>(sizeof(T)), sizeof value);
    return value;
}

double plain_element(const TensorView& tensor, std::int64_t i) {
    if (tensor.dtype == DType::f32) return static_cast<double>(element<float>(tensor, i));
    return static_cast<double>(float_from_bf16(element<bf16_t>(tensor, i)));
}

// A matrix [n, k] and, for fp8, its scales.
struct Matrix {
    const TensorView* values;
    const TensorView* scales;
    std::int64_t k;

    std::vector<double> row(std::int64_t r) const {
        std::vector<double> w(static_cast<std::size_t>(k));
        for (std::int64_t c = 0; c < k; ++c) {
            w[c] = scales == nullptr ? plain_element(*values, r * k + c) : fp8_element(r, c);
        }
        return w;
    }

    // The stored "inverse" scale is the one to multiply by.
    double fp8_element(std::int64_t r, std::int64_t c) const {
        const std::int64_t blocks_per_row = (k + kBlock - 1) / kBlock;
        const std::int64_t block = r / kBlock * blocks_per_row + c / kBlock;
        const double code =
            static_cast<double>(float_from_e4m3(element<e4m3_t>(*values, r * k + c)));
        return code * static_cast<double>(element<float>(*scales, block));
    }
};

// The tensor, of its own type if that is f32 (or fp8, where allowed), otherwise bf16.
const TensorView& find(const Checkpoint& checkpoint,
                       const std::string& name,
                       std::initializer_list<std::int64_t> shape,
                       bool may_be_fp8) {
    const TensorView* tensor = checkpoint.find(name);
    DType dtype = DType::bf16;
    if (tensor != nullptr && tensor->dtype == DType::f32) dtype = DType::f32;
    if (tensor != nullptr && tensor->dtype == DType::f8_e4m3 && may_be_fp8) dtype = DType::f8_e4m3;
    return checkpoint.require(name, dtype, shape);
}

Matrix find_matrix(const Checkpoint& checkpoint,
                   const std::string& name,
                   std::int64_t n,
                   std::int64_t k) {
    const TensorView& values = find(checkpoint, name, {n, k}, true);
    if (values.dtype != DType::f8_e4m3) return {&values, nullptr, k};
    const TensorView& scales = checkpoint.require(
        name + "_scale_inv", DType::f32, {(n + kBlock - 1) / kBlock, (k + kBlock - 1) / kBlock});
    return {&values, &scales, k};
}

double dot(std::span<const double> a, std::span<const double> b) {
    double sum = 0;
    for (std::size_t i = 0; i < a.size(); ++i)
        sum += a[i] * b[i];
    return sum;
}

}  // namespace

void in_parallel(std::size_t n, const std::function<void(std::size_t)>& work) {
    for_each_index(n, static_cast<int>(std::max(1u, std::thread::hardware_concurrency())), work);
}

std::vector<double> Weights::vector(const std::string& name, std::int64_t n) const {
    const TensorView& tensor = find(checkpoint_, name, {n}, false);
    std::vector<double> values(static_cast<std::size_t>(n));
    for (std::int64_t i = 0; i < n; ++i)
        values[i] = plain_element(tensor, i);
    return values;
}

std::vector<double> Weights::row(const std::string& name,
                                 std::int64_t n,
                                 std::int64_t k,
                                 std::int64_t row) const {
    return find_matrix(checkpoint_, name, n, k).row(row);
}

Rows Weights::times(const std::string& name, std::int64_t n, const Rows& x) const {
    const Matrix matrix = find_matrix(checkpoint_, name, n, static_cast<std::int64_t>(x.width()));
    Rows y(x.n_rows(), static_cast<std::size_t>(n));
    in_parallel(static_cast<std::size_t>(n), [&](std::size_t i) {
        const std::vector<double> w = matrix.row(static_cast<std::int64_t>(i));
        for (std::size_t t = 0; t < x.n_rows(); ++t)
            y[t][i] = dot(w, x[t]);
    });
    return y;
}

}  // namespace baltoro::reference
