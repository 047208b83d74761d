#include "server/body_budget.h"

#include <limits>

namespace baltoro::server {

bool BodyBudget::take(std::size_t n) noexcept {
    std::size_t taken = n_taken();
    do {
        if (n > n_bytes_ - taken) return false;
    } while (!n_taken_.compare_exchange_weak(taken, taken + n, std::memory_order_relaxed));
    return true;
}

BodyShare& BodyShare::operator=(BodyShare&& other) noexcept {
    if (this == &other) return *this;
    release();
    budget_ = other.budget_;
    n_bytes_ = std::exchange(other.n_bytes_, 0);
    return *this;
}

bool BodyShare::grow_to(std::size_t n_bytes) noexcept {
    if (n_bytes <= n_bytes_ || budget_ == nullptr) return true;
    if (!budget_->take(n_bytes - n_bytes_)) return false;
    n_bytes_ = n_bytes;
    return true;
}

std::size_t BodyShare::n_most() const noexcept {
    if (budget_ == nullptr) return std::numeric_limits<std::size_t>::max();
    return n_bytes_ + budget_->n_left();
}

void BodyShare::release() noexcept {
    if (n_bytes_ > 0) budget_->give_back(n_bytes_);
    n_bytes_ = 0;
}

}  // namespace baltoro::server
