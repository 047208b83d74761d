#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/result.h"
#include "server/api_errors.h"

namespace baltoro::server {

// Keys keep their order: a schema's properties are written in the order in which they were given.
using Json = nlohmann::ordered_json;

// A request that is refused; caught in the HTTP session, which gives it the dialect's shape.
class RequestError : public Error {
  public:
    explicit RequestError(ApiError refusal)
        : Error(refusal.message), refusal_(std::move(refusal)) {}
    const ApiError& refusal() const noexcept { return refusal_; }

  private:
    ApiError refusal_;
};

// Throws RequestError with status 400. `message` starts with the parameter's name where it has one
// and never repeats what the client sent.
[[noreturn]] void refuse(std::string param, std::string message, std::string code = {});

// Levels of objects and arrays within each other.
inline constexpr std::size_t kMaxJsonDepth = 128;

// The JSON object of a request's body; of a key that occurs twice the last value counts. A failure
// names no parameter: not JSON, not UTF-8, no object, nested deeper than 128 levels, or so many
// values or keys that building it would cost more than any honest request.
Result<Json> parse_body(std::string_view text);

// The same for callers that refuse the request at once.
Json require_body(std::string_view text);

// Text of a value; bytes that are no UTF-8 become U+FFFD.
std::string json_text(const Json& value);

// The text, or null where there is none.
Json text_or_null(const std::string& text);

class Fields;

// A value of a request and its place, such as "messages[2].content[0].type". A view: the body must
// outlive it. Every getter throws RequestError naming the place if the value has another type or is
// out of range.
class Field {
  public:
    Field(const Json& value, std::string path) : value_(&value), path_(std::move(path)) {}

    const Json& json() const noexcept { return *value_; }
    const std::string& path() const noexcept { return path_; }
    bool is_string() const noexcept { return value_->is_string(); }
    bool is_array() const noexcept { return value_->is_array(); }
    bool is_object() const noexcept { return value_->is_object(); }

    // The one parser of integers; a number written with a fraction or an exponent is none.
    std::int64_t integer(std::int64_t low, std::int64_t high) const;
    double number(double low, double high) const;
    bool boolean() const;
    const std::string& string() const;
    Fields object() const;
    std::vector<Field> array(std::size_t max_items) const;

    // Throws RequestError "PATH MESSAGE".
    [[noreturn]] void refuse(std::string_view message, std::string code = {}) const;

  private:
    const Json* value_;
    std::string path_;
};

// The fields of an object. Null counts as absent; fields that nobody asks for are ignored.
class Fields {
  public:
    // Precondition: `object` is an object. `path` is empty for the body itself.
    explicit Fields(const Json& object, std::string path = {})
        : object_(&object), path_(std::move(path)) {}

    std::optional<Field> find(std::string_view key) const;
    Field require(std::string_view key) const;  // refuses the request if it is absent

    // Absent, or what Field gives.
    std::optional<std::int64_t> integer(std::string_view key,
                                        std::int64_t low,
                                        std::int64_t high) const;
    std::optional<double> number(std::string_view key, double low, double high) const;
    std::optional<bool> boolean(std::string_view key) const;
    const std::string* string(std::string_view key) const;  // null: absent
    std::optional<Fields> object(std::string_view key) const;
    std::optional<std::vector<Field>> array(std::string_view key, std::size_t max_items) const;

    std::string path_of(std::string_view key) const;
    const Json& json() const noexcept { return *object_; }

  private:
    const Json* object_;
    std::string path_;
};

}  // namespace baltoro::server
