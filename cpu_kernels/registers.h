#pragma once

namespace baltoro::kernels {
namespace {

// Or the compiler loads a vector again for every use.
template <class Vec>
inline void keep_in_register(Vec& v) {
    asm("" : "+v"(v));
}

// Or it computes what is derived from an address beforehand and keeps that.
template <class T>
inline void keep_in_register(const T*& address) {
    asm("" : "+r"(address));
}

}  // namespace
}  // namespace baltoro::kernels
