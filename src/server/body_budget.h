#pragma once

#include <atomic>
#include <cstddef>
#include <utility>

namespace baltoro::server {

// Memory for the bodies of all requests that are being read or answered, whatever their number.
// Any thread.
class BodyBudget {
  public:
    explicit BodyBudget(std::size_t n_bytes) noexcept : n_bytes_(n_bytes) {}

    // Whether `n` more bytes were left and are now taken.
    bool take(std::size_t n) noexcept;
    void give_back(std::size_t n) noexcept { n_taken_.fetch_sub(n, std::memory_order_relaxed); }

    std::size_t n_left() const noexcept { return n_bytes_ - n_taken(); }
    std::size_t n_taken() const noexcept { return n_taken_.load(std::memory_order_relaxed); }

  private:
    const std::size_t n_bytes_;
    std::atomic<std::size_t> n_taken_ = 0;
};

// What one request's body has taken of a budget, which outlives it; given back at the end.
class BodyShare {
  public:
    BodyShare() = default;
    explicit BodyShare(BodyBudget& budget) noexcept : budget_(&budget) {}
    ~BodyShare() { release(); }
    BodyShare(BodyShare&& other) noexcept
        : budget_(other.budget_), n_bytes_(std::exchange(other.n_bytes_, 0)) {}
    BodyShare& operator=(BodyShare&& other) noexcept;

    // Makes the share that large; false, and nothing changes, if the budget does not allow it. A
    // share of no budget is never refused.
    bool grow_to(std::size_t n_bytes) noexcept;
    // Whether grow_to() would succeed if nobody else took or gave back anything until then.
    bool may_grow_to(std::size_t n_bytes) const noexcept { return n_bytes <= n_most(); }
    // To what it would.
    std::size_t n_most() const noexcept;
    void release() noexcept;

  private:
    BodyBudget* budget_ = nullptr;
    std::size_t n_bytes_ = 0;
};

}  // namespace baltoro::server
