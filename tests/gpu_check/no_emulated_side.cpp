#include "base/error.h"
#include "tests/gpu_check/sides.h"

namespace baltoro::gpu_check {

void add_emulated_devices() {
    throw Error("built with -Dgpu_check_only, which leaves the emulator out: use --device cuda");
}

void add_watched_device() {
    add_emulated_devices();
}

}  // namespace baltoro::gpu_check
