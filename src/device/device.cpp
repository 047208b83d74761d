#include "device/device.h"

#include <utility>

#include "base/check.h"

namespace baltoro::device {

Buffer::~Buffer() {
    if (data_ != nullptr) owner_->release(data_, size_bytes_);
}

Buffer::Buffer(Buffer&& other) noexcept
    : owner_(other.owner_),
      data_(std::exchange(other.data_, nullptr)),
      size_bytes_(std::exchange(other.size_bytes_, 0)) {}

Buffer& Buffer::operator=(Buffer&& other) noexcept {
    if (this == &other) return *this;
    if (data_ != nullptr) owner_->release(data_, size_bytes_);
    owner_ = other.owner_;
    data_ = std::exchange(other.data_, nullptr);
    size_bytes_ = std::exchange(other.size_bytes_, 0);
    return *this;
}

Matrix matrix_shape(const TensorView& weight) {
    check(weight.shape.size() == 1 || weight.shape.size() == 2,
          "a placed weight is a vector or a matrix");
    Matrix matrix;
    matrix.dtype = weight.dtype;
    matrix.n = weight.shape.size() == 1 ? 1 : static_cast<int>(weight.shape[0]);
    matrix.k = static_cast<int>(weight.shape.back());
    return matrix;
}

void Device::begin_repeatable(const StepRows& /*rows*/) {}

std::size_t Device::expert_slot_bytes(const ExpertShape& /*shape*/) const {
    check(false, "only a device with memory of its own takes routed experts");
    return 0;
}

void Device::fill_expert_slot(const ExpertShape& shape,
                              std::byte* /*slot*/,
                              const HostExpert& /*src*/) {
    (void)expert_slot_bytes(shape);
}

void Device::add_resident_experts(const ResidentExperts& args) {
    (void)expert_slot_bytes(args.shape);
}

}  // namespace baltoro::device
