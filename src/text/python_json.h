#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace baltoro {

// A JSON value as Python holds it: keys keep their order (of a repeated key the last value counts,
// at the first one's place), numbers keep what Python would print.
struct JsonValue {
    enum class Kind { null, boolean, number, string, array, object };

    Kind kind = Kind::null;
    bool boolean = false;
    std::string text = {};               // of a string; of a number, as Python prints it
    std::vector<JsonValue> items = {};   // of an array; the values of an object
    std::vector<std::string> keys = {};  // of an object

    // The value of a key, or null if this is no object with that key.
    const JsonValue* find(std::string_view key) const noexcept;
};

// Throws Error starting with the place, such as "messages[2].content[0]: ": not JSON, not UTF-8, a
// number that no double can hold, deeper than 128 levels. `name` is the place of the whole text.
JsonValue parse_json(std::string_view text, const std::string& name);

// Sorts the keys of all objects in it, by code point as Python does.
void sort_keys(JsonValue& value);

struct JsonSeparators {
    std::string_view item = ", ";
    std::string_view key = ": ";
};

// Python's json.dumps(value, ensure_ascii=False, separators=...).
std::string dump_json(const JsonValue& value, const JsonSeparators& separators = {});

// Python's repr of a finite float.
std::string python_float(double value);

}  // namespace baltoro
