#include "device/device.h"

#include <utility>

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

}  // namespace baltoro::device
