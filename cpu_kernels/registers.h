#pragma once

namespace baltoro::kernels {
namespace {

// Or the compiler loads a vector again for every use.
template <class Vec>
inline void keep_in_register(Vec& v) {
    asm("" : "+v"(v));
}

}  // namespace
}  // namespace baltoro::kernels
