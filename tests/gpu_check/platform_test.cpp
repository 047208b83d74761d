// What a platform promises besides its kernels: memory, copies and errors.

#include <algorithm>

#include "base/error.h"
#include "tests/gpu_check/check_device.h"
#include "tests/gpu_check/random_values.h"

namespace baltoro::gpu_check {
namespace {

using device::GpuPlatform;
using device::MemoryKind;

// Memory of a platform, as bytes.
class Memory {
  public:
    Memory(GpuPlatform& platform, std::size_t size_bytes, MemoryKind kind = MemoryKind::device)
        : platform_(platform), size_bytes_(size_bytes), kind_(kind) {
        data_ = static_cast<std::uint8_t*>(platform.allocate(size_bytes, kind));
    }
    ~Memory() { platform_.release(data_, size_bytes_, kind_); }
    Memory(const Memory&) = delete;
    Memory& operator=(const Memory&) = delete;

    std::uint8_t* data() const { return data_; }
    std::vector<std::uint8_t> download() const {
        std::vector<std::uint8_t> bytes(size_bytes_);
        platform_.copy_to_host(bytes.data(), data_, size_bytes_);
        return bytes;
    }

  private:
    GpuPlatform& platform_;
    std::size_t size_bytes_;
    MemoryKind kind_;
    std::uint8_t* data_;
};

TEST_CASE("platform: new memory is zero, also where something was before") {
    const std::vector<std::uint8_t> ones(100'000, 1);
    for (const CheckDevice& device : check_devices()) {
        CAPTURE(device.name);
        for (const MemoryKind kind : {MemoryKind::device, MemoryKind::shared}) {
            {
                const Memory before(*device.platform, ones.size(), kind);
                if (kind == MemoryKind::shared)
                    std::copy(ones.begin(), ones.end(), before.data());
                else
                    device.platform->copy_to_device(before.data(), ones.data(), ones.size());
                CHECK(before.download() == ones);
            }
            const Memory memory(*device.platform, ones.size(), kind);
            CHECK(memory.download() == std::vector<std::uint8_t>(ones.size(), 0));
        }
    }
}

// More copies than a platform may hold back, each from the same buffer.
TEST_CASE("platform: the source of an upload can be reused at once") {
    constexpr std::size_t kCopies = 1500;
    constexpr std::size_t kLargest = 5000;
    for (const CheckDevice& device : check_devices()) {
        CAPTURE(device.name);
        const Memory memory(*device.platform, kCopies * kLargest);
        std::vector<std::uint8_t> expected(kCopies * kLargest, 0);
        std::vector<std::uint8_t> source(kLargest);
        for (std::size_t i = 0; i < kCopies; i++) {
            const std::size_t n = 1 + i * 977 % kLargest;
            std::fill(source.begin(), source.end(), static_cast<std::uint8_t>(i % 251 + 1));
            device.platform->copy_to_device(memory.data() + i * kLargest, source.data(), n);
            std::copy_n(source.begin(), n,
                        expected.begin() + static_cast<std::ptrdiff_t>(i * kLargest));
        }
        CHECK(memory.download() == expected);
    }
}

TEST_CASE("platform: an upload may be larger than what is staged at a time") {
    std::vector<std::uint8_t> bytes((std::size_t{70} << 20) + 13);
    for (std::size_t i = 0; i < bytes.size(); i++)
        bytes[i] = static_cast<std::uint8_t>(i * 2654435761u >> 13);
    const CheckDevice& device = check_devices().front();
    const Memory memory(*device.platform, bytes.size());
    device.platform->copy_to_device(memory.data(), bytes.data(), bytes.size());
    CHECK(memory.download() == bytes);
}

TEST_CASE("platform: copies happen in the order of the stream") {
    const std::vector<std::uint8_t> ones(1000, 1);
    const std::vector<std::uint8_t> twos(1000, 2);
    for (const CheckDevice& device : check_devices()) {
        CAPTURE(device.name);
        const Memory a(*device.platform, 1000);
        const Memory b(*device.platform, 1000);
        const Memory shared(*device.platform, 1000, MemoryKind::shared);
        device.platform->copy_to_device(a.data(), ones.data(), 1000);
        device.platform->copy_within(b.data(), a.data(), 1000);
        device.platform->copy_to_device(a.data(), twos.data(), 1000);
        device.platform->copy_within(shared.data(), a.data(), 1000);
        device.platform->wait();
        CHECK(std::vector<std::uint8_t>(shared.data(), shared.data() + 1000) == twos);
        CHECK(b.download() == ones);
        device.platform->check_failure();
    }
}

TEST_CASE("platform: memory that cannot be had is an error with numbers") {
    constexpr std::size_t kTooMuch = std::size_t{1} << 46;
    for (const CheckDevice& device : check_devices()) {
        CAPTURE(device.name);
        const std::size_t free = device.platform->free_bytes();
        CHECK(free < kTooMuch);
        std::string what;
        try {
            device.platform->allocate(kTooMuch, MemoryKind::device);
        } catch (const Error& error) {
            what = error.what();
        }
        CHECK(what.find("70368.74 GB") != std::string::npos);
        CHECK(what.find("free") != std::string::npos);
        CHECK(what.find('\n') == std::string::npos);
        const Memory memory(*device.platform, 1000);  // the device goes on
        CHECK(memory.download() == std::vector<std::uint8_t>(1000, 0));
    }
}

}  // namespace
}  // namespace baltoro::gpu_check
