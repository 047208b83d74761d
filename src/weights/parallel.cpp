#include "weights/parallel.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

namespace baltoro {
namespace {

// The failure with the lowest index, so that a message does not depend on timing more than needed.
class FirstFailure {
  public:
    void record(std::size_t i, std::exception_ptr failure) {
        const std::lock_guard lock(mutex_);
        if (failure_ != nullptr && i_ < i) return;
        i_ = i;
        failure_ = std::move(failure);
    }
    void rethrow() const {
        if (failure_ != nullptr) std::rethrow_exception(failure_);
    }

  private:
    std::mutex mutex_;
    std::size_t i_ = 0;
    std::exception_ptr failure_;
};

}  // namespace

void for_each_index(std::size_t n, int n_threads, const std::function<void(std::size_t)>& work) {
    std::atomic<std::size_t> next{0};
    FirstFailure first_failure;
    const auto run = [&] {
        for (std::size_t i = next++; i < n; i = next++) {
            try {
                work(i);
            } catch (...) {
                first_failure.record(i, std::current_exception());
                next = n;
            }
        }
    };
    const std::size_t n_workers = std::min(n, static_cast<std::size_t>(std::max(n_threads, 1)));
    std::vector<std::jthread> workers;
    for (std::size_t i = 1; i < n_workers; ++i)
        workers.emplace_back(run);
    run();
    workers.clear();
    first_failure.rethrow();
}

}  // namespace baltoro
