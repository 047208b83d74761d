#pragma once

#include <cstddef>

namespace baltoro::simt {

// A function with a stack of its own that its owner runs by turns: resume() runs it until it calls
// suspend() or returns. All calls on one OS thread. Told to the sanitizers, so that address and
// thread sanitizer follow the changes of stack.
class Fiber {
  public:
    using Body = void (*)(void* argument);

    // body(argument) starts with the first resume(); it must not throw. Throws std::bad_alloc.
    Fiber(Body body, void* argument);
    ~Fiber();
    Fiber(const Fiber&) = delete;
    Fiber& operator=(const Fiber&) = delete;

    void resume();
    void suspend();
    // Forgets what the fiber was in the middle of (nothing is unwound); the next resume() starts
    // the body anew.
    void restart();

  private:
    struct Entry;
    void enter() noexcept;
    void forget_frames() noexcept;

    Body body_;
    void* argument_;
    std::byte* stack_;
    void* context_ = nullptr;        // of the fiber, while it is suspended
    void* owner_context_ = nullptr;  // of resume(), while the fiber runs
    void* sanitizer_fiber_ = nullptr;
    void* sanitizer_owner_ = nullptr;
    const void* owner_stack_ = nullptr;
    std::size_t owner_stack_bytes_ = 0;
    void* owner_fake_stack_ = nullptr;
    void* fake_stack_ = nullptr;
};

}  // namespace baltoro::simt
