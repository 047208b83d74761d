// One check per wrapper of gpu_kernels/simt: where these fail on a GPU, nothing else means much.

#include <cmath>

#include "tests/gpu_check/check_device.h"
#include "tests/gpu_check/random_values.h"

namespace baltoro::gpu_check {
namespace {

// What a kernel makes of `src`, in an array that held `before`.
template <typename Dst, typename Src>
std::vector<Dst> run(const CheckDevice& device,
                     SimtKernels::Launch SimtKernels::*kernel,
                     const std::vector<Src>& src,
                     const std::vector<Dst>& before) {
    const DeviceArray<Src> from(device, src);
    const DeviceArray<Dst> to(device, before);
    (device.simt->*kernel)(device.stream(), {from.data(), to.data()});
    return to.download();
}

template <typename Dst, typename Src>
std::vector<Dst> run(const CheckDevice& device,
                     SimtKernels::Launch SimtKernels::*kernel,
                     const std::vector<Src>& src,
                     std::size_t n_dst) {
    std::vector<Dst> poison(n_dst);
    std::memset(poison.data(), 0xff, n_dst * sizeof(Dst));
    return run(device, kernel, src, poison);
}

std::vector<std::uint32_t> random_words(std::size_t n) {
    Random random(check_seed());
    std::vector<std::uint32_t> words(n);
    for (std::uint32_t& word : words)
        word = static_cast<std::uint32_t>(random.next());
    return words;
}

template <typename Check>
void on_every_device(const Check& check_on) {
    for (const CheckDevice& device : check_devices()) {
        CAPTURE(device.name);
        CAPTURE(check_seed());
        check_on(device);
    }
}

TEST_CASE("simt: threads know their place in grid and block") {
    on_every_device([](const CheckDevice& device) {
        const auto places = run<std::uint32_t>(device, &SimtKernels::indices, random_words(1), 960);
        for (std::uint32_t i = 0; i < 960; i++)
            REQUIRE(places[i] == i);
    });
}

TEST_CASE("simt: shuffles") {
    const std::vector<std::uint32_t> src = random_words(32);
    on_every_device([&](const CheckDevice& device) {
        const auto dst = run<std::uint32_t>(device, &SimtKernels::shuffles, src, 160);
        for (std::size_t l = 0; l < 32; l++) {
            CAPTURE(l);
            CHECK(dst[l] == src[(7 * l + 3) % 32]);
            CHECK(dst[32 + l] == src[l ^ 5]);
            CHECK(dst[64 + l] == src[l < 29 ? l + 3 : l]);
            CHECK(dst[96 + l] == src[l ^ 16]);
            CHECK(dst[128 + l] == src[l < 16 ? l ^ 1 : l]);
        }
    });
}

TEST_CASE("simt: ballots") {
    const std::vector<std::uint32_t> src = random_words(32);
    std::uint32_t odd = 0;
    for (std::size_t l = 0; l < 32; l++)
        odd |= (src[l] & 1u) << l;
    on_every_device([&](const CheckDevice& device) {
        const auto dst = run<std::uint32_t>(device, &SimtKernels::ballots, src, 64);
        for (std::size_t l = 0; l < 32; l++) {
            CHECK(dst[l] == odd);
            CHECK(dst[32 + l] == (l < 16 ? 0 : odd & 0xffff0000u));
        }
    });
}

TEST_CASE("simt: 96 KB of shared memory and a barrier") {
    on_every_device([](const CheckDevice& device) {
        const auto dst =
            run<std::uint32_t>(device, &SimtKernels::large_shared, random_words(1), 24 * 1024);
        for (std::uint32_t i = 0; i < 24 * 1024; i++)
            REQUIRE(dst[i] == 24 * 1024 - 1 - i);
    });
}

// Small whole numbers: every product and sum is exact.
TEST_CASE("simt: the fragments of mma") {
    Random random(check_seed());
    std::vector<bf16_t> ab;
    for (int i = 0; i < 16 * 16 + 16 * 8; i++)
        ab.push_back(bf16_from_float(static_cast<float>(random.below(31)) - 15.0f));
    std::vector<float> d;
    for (int i = 0; i < 16 * 8; i++)
        d.push_back(static_cast<float>(random.below(1001)) - 500.0f);
    on_every_device([&](const CheckDevice& device) {
        const std::vector<float> dst = run(device, &SimtKernels::mma, ab, d);
        for (std::size_t row = 0; row < 16; row++)
            for (std::size_t column = 0; column < 8; column++) {
                float sum = d[row * 8 + column];
                for (std::size_t k = 0; k < 16; k++)
                    sum += float_from_bf16(ab[row * 16 + k]) *
                           float_from_bf16(ab[256 + k * 8 + column]);
                CHECK(dst[row * 8 + column] == sum);
            }
    });
}

TEST_CASE("simt: ldmatrix, plain and transposed") {
    std::vector<bf16_t> src(256);
    for (std::size_t i = 0; i < 256; i++)
        src[i] = static_cast<bf16_t>(i);
    const auto pair = [](std::size_t low, std::size_t high) {
        return static_cast<std::uint32_t>(low | high << 16);
    };
    on_every_device([&](const CheckDevice& device) {
        const auto dst = run<std::uint32_t>(device, &SimtKernels::ldmatrix, src, 256);
        for (std::size_t lane = 0; lane < 32; lane++)
            for (std::size_t m = 0; m < 4; m++) {
                const std::size_t g = lane / 4;
                const std::size_t t = lane % 4;
                const std::size_t plain = m * 64 + g * 8 + 2 * t;
                const std::size_t transposed = m * 64 + 2 * t * 8 + g;
                CHECK(dst[lane * 4 + m] == pair(plain, plain + 1));
                CHECK(dst[128 + lane * 4 + m] == pair(transposed, transposed + 8));
            }
    });
}

TEST_CASE("simt: asynchronous copies, in groups and zero-filled") {
    const std::vector<std::uint32_t> src = random_words(3 * 64 * 4);
    on_every_device([&](const CheckDevice& device) {
        const auto dst =
            run<std::uint32_t>(device, &SimtKernels::async_copies, src, std::size_t{3} * 64 * 4);
        for (std::size_t i = 0; i < 3 * 64 * 4; i++)
            REQUIRE(dst[i] == (i / 256 == 1 ? 0 : src[i]));
    });
}

TEST_CASE("simt: loads and stores of 16 bytes") {
    const std::vector<std::uint32_t> src = random_words(256);
    on_every_device([&](const CheckDevice& device) {
        const auto dst = run<std::uint32_t>(device, &SimtKernels::loads_and_stores, src, 512);
        for (std::size_t i = 0; i < 512; i++)
            REQUIRE(dst[i] == src[i % 256]);
    });
}

TEST_CASE("simt: every e4m3 code") {
    on_every_device([](const CheckDevice& device) {
        const auto dst = run<float>(device, &SimtKernels::e4m3, random_words(1), 256);
        for (std::size_t code = 0; code < 256; code++) {
            CAPTURE(code);
            const float expected = float_from_e4m3(static_cast<e4m3_t>(code));
            if (std::isnan(expected))
                CHECK(std::isnan(dst[code]));
            else
                CHECK(bits_from_float(dst[code]) == bits_from_float(expected));
        }
    });
}

TEST_CASE("simt: every bf16 code") {
    on_every_device([](const CheckDevice& device) {
        const auto dst =
            run<std::uint32_t>(device, &SimtKernels::bf16_to_f32, random_words(1), 2 * 65536);
        for (std::uint32_t code = 0; code < 65536; code++) {
            REQUIRE(dst[code] == code << 16);
            REQUIRE(dst[65536 + code] == (code % 2 == 0 ? code : 65535 - code) << 16);
        }
    });
}

// Ties both ways, subnormals, the largest values, infinities, NaN, and anything.
std::vector<float> hard_to_round() {
    std::vector<float> values;
    for (const std::uint32_t bits :
         {0x00000000u, 0x80000000u, 0x3f808000u, 0x3f818000u, 0x3f808001u, 0x3f807fffu,
          0xbf808000u, 0xbf818000u, 0x00000001u, 0x00008000u, 0x00008001u, 0x00018000u,
          0x007fffffu, 0x00800000u, 0x807f8000u, 0x7f7fffffu, 0x7f7f7fffu, 0x7f7f8000u,
          0xff7fffffu, 0x7f800000u, 0xff800000u, 0x7fc00000u, 0xffc12345u, 0x7f800001u})
        values.push_back(float_from_bits(bits));
    for (const std::uint32_t bits : random_words(256 - values.size()))
        values.push_back(float_from_bits(bits));
    return values;
}

TEST_CASE("simt: rounding to bf16") {
    const std::vector<float> src = hard_to_round();
    on_every_device([&](const CheckDevice& device) {
        const auto dst = run<bf16_t>(device, &SimtKernels::f32_to_bf16, src, 768);
        for (std::size_t i = 0; i < 768; i++) {
            const float value = src[i / 3];
            CAPTURE(bits_from_float(value));
            if (std::isnan(value))
                CHECK(std::isnan(float_from_bf16(dst[i])));
            else
                CHECK(dst[i] == bf16_from_float(value));
        }
    });
}

// In units of the last place of `expected`.
double error_ulps(float got, double expected) {
    const double ulp = std::ldexp(1.0, std::ilogb(expected) - 23);
    return std::abs(static_cast<double>(got) - expected) / ulp;
}

// The bounds are those of CUDA's programming guide; root and quotient are rounded correctly.
TEST_CASE("simt: arithmetic") {
    Random random(check_seed());
    std::vector<float> src;
    for (int i = 0; i < 256; i++)
        src.push_back(static_cast<float>(std::exp(8.0 * random.uniform() - 4.0)));
    on_every_device([&](const CheckDevice& device) {
        const auto dst = run<float>(device, &SimtKernels::arithmetic, src, 6 * 256);
        for (std::size_t i = 0; i < 256; i++) {
            const double x = static_cast<double>(src[i]);
            CAPTURE(x);
            // One rounding, or that of the product before.
            CHECK(std::abs(static_cast<double>(dst[i]) - (x * x - 1)) <=
                  (x * x + std::abs(x * x - 1)) * 0x1p-24);
            CHECK(error_ulps(dst[256 + i], std::exp(-x)) <= 2);
            CHECK(error_ulps(dst[512 + i], std::exp2(-x)) <= 2);
            CHECK(error_ulps(dst[768 + i], 1 / std::sqrt(x)) <= 2);
            CHECK(error_ulps(dst[1024 + i], std::sqrt(x)) <= 0.5);
            CHECK(error_ulps(dst[1280 + i], 1 / x) <= 0.5);
        }
    });
}

TEST_CASE("simt: atomic sums") {
    on_every_device([](const CheckDevice& device) {
        const auto dst =
            run(device, &SimtKernels::atomics, random_words(1), std::vector<std::uint32_t>(258, 0));
        CHECK(dst[0] == 256);
        for (std::size_t i = 0; i < 256; i++)
            CHECK(dst[1 + i] == 1);
        CHECK(float_from_bits(dst[257]) == 256.0f);
    });
}

TEST_CASE("simt: flags in memory that device and host share") {
    on_every_device([](const CheckDevice& device) {
        device::GpuPlatform& platform = *device.platform;
        auto* flags =
            static_cast<std::uint32_t*>(platform.allocate(128, device::MemoryKind::shared));
        flags[0] = 5;
        device.simt->flags(device.stream(), {flags, flags + 16});
        platform.wait();
        CHECK(flags[16] == 6);
        platform.release(flags, 128, device::MemoryKind::shared);
    });
}

}  // namespace
}  // namespace baltoro::gpu_check
