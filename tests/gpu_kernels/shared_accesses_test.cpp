#include "gpu_kernels/simt/shared_accesses.h"

#include <doctest/doctest.h>

namespace baltoro::simt {
namespace {

// Two bytes at 10, of a block of two warps.
struct Watched {
    Watched() { accesses.begin(64, 64); }
    void read(int lane) { accesses.add(lane, 10, 2, false); }
    void write(int lane) { accesses.add(lane, 10, 2, true); }
    bool is_clean() const { return accesses.found().empty(); }

    SharedAccesses accesses;
};

TEST_CASE("a write and another thread's access need a barrier between them") {
    Watched write_read;
    write_read.write(3);
    write_read.read(40);
    CHECK(
        write_read.accesses.found() ==
        "no barrier stands between the write of byte 10 of shared memory by thread 3 and its read "
        "by thread 40");
    Watched read_write;
    read_write.read(3);
    read_write.write(4);
    CHECK(!read_write.is_clean());
    Watched write_write;
    write_write.write(3);
    write_write.write(40);
    CHECK(!write_write.is_clean());
    Watched with_barriers;
    with_barriers.write(3);
    with_barriers.accesses.pass_barrier();
    with_barriers.read(40);
    with_barriers.read(3);
    with_barriers.accesses.pass_barrier();
    with_barriers.write(7);
    CHECK(with_barriers.is_clean());
}

TEST_CASE("a thread's own accesses and reads of many need none") {
    Watched own;
    own.write(3);
    own.read(3);
    own.write(3);
    CHECK(own.is_clean());
    Watched reads;
    for (int lane = 0; lane < 64; lane++)
        reads.read(lane);
    CHECK(reads.is_clean());
    reads.write(5);
    CHECK(
        reads.accesses.found() ==
        "no barrier stands between the read of byte 10 of shared memory by several threads and its "
        "write by thread 5");
}

TEST_CASE("a warp's barrier orders the accesses of that warp alone") {
    Watched same_warp;
    same_warp.write(33);
    same_warp.accesses.pass_warp_barrier(1);
    same_warp.read(40);
    CHECK(same_warp.is_clean());
    Watched other_warp;
    other_warp.write(33);
    other_warp.accesses.pass_warp_barrier(0);
    other_warp.accesses.pass_warp_barrier(1);
    other_warp.read(3);
    CHECK(!other_warp.is_clean());
    Watched other_warps_barrier;
    other_warps_barrier.write(33);
    other_warps_barrier.accesses.pass_warp_barrier(0);
    other_warps_barrier.read(34);
    CHECK(!other_warps_barrier.is_clean());
}

TEST_CASE("bytes that lie apart have nothing to do with each other, and a block begins anew") {
    Watched watched;
    watched.accesses.add(0, 8, 2, true);
    watched.accesses.add(1, 12, 4, true);
    watched.write(2);
    CHECK(watched.is_clean());
    watched.accesses.add(3, 0, 9, false);
    CHECK(!watched.is_clean());
    watched.accesses.begin(64, 64);
    watched.accesses.add(3, 0, 9, false);
    CHECK(watched.is_clean());
}

}  // namespace
}  // namespace baltoro::simt
