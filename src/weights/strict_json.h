#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>

namespace baltoro {

enum class JsonKind { null, boolean, integer, number, string, object, array };

// A value as it is met; objects and arrays are met when they open. Integers outside int64 and
// everything with a fraction or an exponent are `number`.
struct JsonValue {
    JsonKind kind = JsonKind::null;
    std::int64_t integer = 0;
    double number = 0;
    std::string_view text{};  // valid during the call
};

// The keys that lead to a value; an element of an array adds "[]".
using JsonPath = std::span<const std::string>;

// Walks a JSON text in order, without building a tree, so that memory does not grow with what a
// hostile file nests. Throws Error "SOURCE: ..." on bad syntax or UTF-8, nesting deeper than
// `max_depth` containers and duplicate keys. What `visit` throws passes through.
void walk_json(std::string_view text,
               std::string_view source,
               int max_depth,
               const std::function<void(JsonPath, const JsonValue&)>& visit);

// Text from a file, in quotes, fit for a one-line message: bytes other than printable ASCII become
// '?', and what is longer than 200 bytes is cut.
std::string in_quotes(std::string_view text);

// A value as an error message shows it; of objects and arrays only what they are.
std::string spelled(const JsonValue& value);

}  // namespace baltoro
