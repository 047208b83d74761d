#pragma once

#include <string>
#include <utility>
#include <variant>

#include "base/check.h"

namespace baltoro {

// The message of a Result that holds no value.
struct Failure {
    std::string message;
};

// A value or the reason why there is none; for parsers of user text, where failing is an ordinary
// outcome. Spelt like std::expected (C++23), which it can give way to.
template <typename T>
class Result {
  public:
    Result(T value) : state_(std::move(value)) {}            // NOLINT(google-explicit-constructor)
    Result(Failure failure) : state_(std::move(failure)) {}  // NOLINT(google-explicit-constructor)

    bool has_value() const noexcept { return state_.index() == 0; }
    explicit operator bool() const noexcept { return has_value(); }

    // Precondition: has_value().
    const T& value() const& noexcept {
        check(has_value(), "Result::value() is called on a value");
        return *std::get_if<0>(&state_);
    }
    T&& value() && noexcept {
        check(has_value(), "Result::value() is called on a value");
        return std::move(*std::get_if<0>(&state_));
    }
    const T& operator*() const& noexcept { return value(); }
    const T* operator->() const noexcept { return &value(); }

    // Precondition: !has_value().
    const std::string& error() const noexcept {
        check(!has_value(), "Result::error() is called on a failure");
        return std::get_if<1>(&state_)->message;
    }

  private:
    std::variant<T, Failure> state_;
};

}  // namespace baltoro
