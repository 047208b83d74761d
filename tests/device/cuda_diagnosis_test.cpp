#include "device/cuda_diagnosis.h"

#include <doctest/doctest.h>

namespace baltoro::device {
namespace {

TEST_CASE("machine code runs on cards of its major number that are not older") {
    CHECK(is_compiled_for("80,86,90", 80));
    CHECK(is_compiled_for("80,86,90", 87));
    CHECK(is_compiled_for("80,90", 89));
    CHECK_FALSE(is_compiled_for("86,90", 80));
    CHECK_FALSE(is_compiled_for("80,86,90", 75));
    CHECK_FALSE(is_compiled_for("80,120", 90));
    CHECK(is_compiled_for("80,100,120", 103));
    CHECK_FALSE(is_compiled_for("", 90));
}

TEST_CASE("PTX of the last architecture runs on any card that is not older") {
    CHECK(is_compiled_for("80,90", 120));
    CHECK(is_compiled_for("80", 90));
    CHECK_FALSE(is_compiled_for("120", 100));
}

TEST_CASE("a card that nothing was compiled for is told what to build with") {
    CHECK(not_compiled_line("GPU 0 (Tesla T4)", 75, "80,86") ==
          "GPU 0 (Tesla T4) has compute capability 7.5, but the kernels were compiled for 80,86: "
          "build with -Dgpu_archs=75");
}

TEST_CASE("a missing driver and an old one are told apart") {
    CHECK(driver_line(0, 13000).find("no NVIDIA driver") != std::string::npos);
    CHECK(driver_line(12040, 13000) ==
          "the NVIDIA driver is too old: it knows CUDA 12.4, this program needs 13.0; update the "
          "driver");
}

TEST_CASE("a wrong number is answered with the range") {
    CHECK(index_line(1, 1) == "there is no GPU 1: the only one is 0");
    CHECK(index_line(7, 2) == "there is no GPU 7: they are 0 to 1");
}

TEST_CASE("a shortage of memory says who has it") {
    const std::size_t gigabyte = 1'000'000'000;
    const MemoryShortage taken{10 * gigabyte, 3 * gigabyte, 24 * gigabyte, 5 * gigabyte,
                               24 * gigabyte};
    CHECK(memory_line("GPU 0 (X)", taken) ==
          "GPU 0 (X): cannot have 10.00 GB of memory: 3.00 GB of 24.00 are free, 5.00 are this "
          "program's, 16.00 belong to other processes and the driver (see nvidia-smi)");
    const MemoryShortage limited{10 * gigabyte, 19 * gigabyte, 24 * gigabyte, 5 * gigabyte,
                                 8 * gigabyte};
    CHECK(memory_line("GPU 0 (X)", limited) ==
          "GPU 0 (X): cannot have 10.00 GB of memory: of the 8.00 GB allowed, 5.00 are taken; "
          "raise the limit");
}

TEST_CASE("a GPU full from the start is named with its size") {
    CHECK(no_context_line("GPU 1 (X)", 80'000'000'000) ==
          "GPU 1 (X): no memory is left to start with; other processes hold its 80.00 GB (see "
          "nvidia-smi)");
}

}  // namespace
}  // namespace baltoro::device
