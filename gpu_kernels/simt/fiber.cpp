#include "gpu_kernels/simt/fiber.h"

#include <sys/mman.h>

#include <new>

#include <boost/context/detail/fcontext.hpp>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define BALTORO_ADDRESS_SANITIZER 1
#endif
#if __has_feature(thread_sanitizer)
#define BALTORO_THREAD_SANITIZER 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define BALTORO_ADDRESS_SANITIZER 1
#endif
#if defined(__SANITIZE_THREAD__)
#define BALTORO_THREAD_SANITIZER 1
#endif

#ifdef BALTORO_ADDRESS_SANITIZER
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#ifdef BALTORO_THREAD_SANITIZER
#include <sanitizer/tsan_interface.h>
#endif

namespace baltoro::simt {

namespace context = boost::context::detail;

namespace {

// Kernels keep little on the stack; sanitizers make frames several times larger.
constexpr std::size_t kStackBytes = std::size_t{256} << 10;

}  // namespace

struct Fiber::Entry {
    static void start(context::transfer_t from) {
        Fiber& fiber = *static_cast<Fiber*>(from.data);
        fiber.owner_context_ = from.fctx;
        fiber.enter();
    }
};

Fiber::Fiber(Body body, void* argument) : body_(body), argument_(argument) {
    void* stack = mmap(nullptr, kStackBytes, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (stack == MAP_FAILED) throw std::bad_alloc();
    stack_ = static_cast<std::byte*>(stack);
    restart();
}

// Address sanitizer marks the frames on a stack; whoever gets the memory next must not see them.
void Fiber::forget_frames() noexcept {
#ifdef BALTORO_ADDRESS_SANITIZER
    __asan_unpoison_memory_region(stack_, kStackBytes);
#endif
}

Fiber::~Fiber() {
    forget_frames();
#ifdef BALTORO_THREAD_SANITIZER
    __tsan_destroy_fiber(sanitizer_fiber_);
#endif
    munmap(stack_, kStackBytes);
}

void Fiber::restart() {
    forget_frames();
    fake_stack_ = nullptr;
#ifdef BALTORO_THREAD_SANITIZER
    if (sanitizer_fiber_ != nullptr) __tsan_destroy_fiber(sanitizer_fiber_);
    sanitizer_fiber_ = __tsan_create_fiber(0);
#endif
    context_ = context::make_fcontext(stack_ + kStackBytes, kStackBytes, &Entry::start);
}

void Fiber::enter() noexcept {
#ifdef BALTORO_ADDRESS_SANITIZER
    __sanitizer_finish_switch_fiber(nullptr, &owner_stack_, &owner_stack_bytes_);
#endif
    while (true) {
        body_(argument_);
        suspend();
    }
}

void Fiber::resume() {
#ifdef BALTORO_ADDRESS_SANITIZER
    __sanitizer_start_switch_fiber(&owner_fake_stack_, stack_, kStackBytes);
#endif
#ifdef BALTORO_THREAD_SANITIZER
    sanitizer_owner_ = __tsan_get_current_fiber();
    __tsan_switch_to_fiber(sanitizer_fiber_, 0);
#endif
    context_ = context::jump_fcontext(context_, this).fctx;
#ifdef BALTORO_ADDRESS_SANITIZER
    __sanitizer_finish_switch_fiber(owner_fake_stack_, nullptr, nullptr);
#endif
}

void Fiber::suspend() {
#ifdef BALTORO_ADDRESS_SANITIZER
    __sanitizer_start_switch_fiber(&fake_stack_, owner_stack_, owner_stack_bytes_);
#endif
#ifdef BALTORO_THREAD_SANITIZER
    __tsan_switch_to_fiber(sanitizer_owner_, 0);
#endif
    owner_context_ = context::jump_fcontext(owner_context_, this).fctx;
#ifdef BALTORO_ADDRESS_SANITIZER
    __sanitizer_finish_switch_fiber(fake_stack_, &owner_stack_, &owner_stack_bytes_);
#endif
}

}  // namespace baltoro::simt
