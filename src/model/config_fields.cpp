#include "model/config_fields.h"

#include <utility>

#include <fmt/format.h>

#include "base/error.h"

namespace baltoro {
namespace {

constexpr std::size_t kMaxFileBytes = 1 << 20;
constexpr int kMaxDepth = 64;
constexpr std::size_t kMaxFieldDepth = 4;
constexpr std::size_t kMaxKeyBytes = 64;

// The '.'-joined path, or nothing if it cannot be told apart from another or is no field of ours.
// Without the limits a hostile file could repeat a long key in front of every value below it.
std::optional<std::string> joined(JsonPath path) {
    if (path.size() > kMaxFieldDepth) return std::nullopt;
    std::string result;
    for (const std::string& key : path) {
        if (key.size() > kMaxKeyBytes || key.find('.') != key.npos) return std::nullopt;
        if (!result.empty()) result += '.';
        result += key;
    }
    return result;
}

void store(ConfigValues& values, JsonPath path, const JsonValue& value) {
    if (path.empty()) return;
    const bool is_element = path.back() == "[]";
    const std::optional<std::string> name = joined(is_element ? path.first(path.size() - 1) : path);
    if (!name) return;
    ConfigValue& stored = values[*name];
    if (!is_element) {
        stored.kind = value.kind;
        stored.integer = value.integer;
        stored.number = value.number;
        stored.text = value.text;
    } else if (value.kind == JsonKind::integer) {
        stored.elements.push_back(value.integer);
    } else {
        stored.holds_only_integers = false;
    }
}

std::string spelled(const ConfigValue& value) {
    if (value.kind != JsonKind::array)
        return spelled(JsonValue{value.kind, value.integer, value.number, value.text});
    if (!value.holds_only_integers || value.elements.size() > 8) return "a list";
    return fmt::format("[{}]", fmt::join(value.elements, ", "));
}

bool is_integer_in(const ConfigValue& value, std::int64_t lowest, std::int64_t highest) {
    return value.kind == JsonKind::integer && value.integer >= lowest && value.integer <= highest;
}

std::string integer_range(std::int64_t lowest, std::int64_t highest) {
    return fmt::format("an integer from {} to {}", lowest, highest);
}

}  // namespace

ConfigValues parse_config_values(std::string_view text, std::string_view file) {
    if (text.size() > kMaxFileBytes) {
        throw Error(fmt::format("{}: has {} bytes, at most {} are accepted", file, text.size(),
                                kMaxFileBytes));
    }
    ConfigValues values;
    walk_json(text, file, kMaxDepth, [&](JsonPath path, const JsonValue& value) {
        if (path.empty() && value.kind != JsonKind::object)
            throw Error(fmt::format("{}: is not a JSON object", file));
        store(values, path, value);
    });
    return values;
}

ConfigFields::ConfigFields(const ConfigValues& values, std::string_view file, std::string prefix)
    : values_(&values), file_(file), prefix_(std::move(prefix)) {}

const ConfigValue* ConfigFields::find(const char* field) const {
    const auto found = values_->find(prefix_ + field);
    const bool is_absent = found == values_->end() || found->second.kind == JsonKind::null;
    return is_absent ? nullptr : &found->second;
}

const ConfigValue& ConfigFields::need(const char* field, std::string_view expected) const {
    const ConfigValue* value = find(field);
    if (value == nullptr) fail(field, expected);
    return *value;
}

bool ConfigFields::has(const char* field) const {
    return find(field) != nullptr;
}

void ConfigFields::fail(const char* field, std::string_view expected) const {
    const auto value = values_->find(prefix_ + field);
    throw Error(fmt::format("{}: {}{}: found {}, expected {}", file_, prefix_, field,
                            value == values_->end() ? "nothing" : spelled(value->second),
                            expected));
}

int ConfigFields::integer(const char* field, std::int64_t lowest, std::int64_t highest) const {
    const ConfigValue& value = need(field, integer_range(lowest, highest));
    if (!is_integer_in(value, lowest, highest)) fail(field, integer_range(lowest, highest));
    return static_cast<int>(value.integer);
}

int ConfigFields::integer_or(const char* field,
                             int fallback,
                             std::int64_t lowest,
                             std::int64_t highest) const {
    return has(field) ? integer(field, lowest, highest) : fallback;
}

double ConfigFields::number(const char* field, double lowest, double highest) const {
    const std::string expected = fmt::format("a number from {} to {}", lowest, highest);
    const ConfigValue& value = need(field, expected);
    const bool is_number = value.kind == JsonKind::integer || value.kind == JsonKind::number;
    if (!is_number || !(value.number >= lowest && value.number <= highest)) fail(field, expected);
    return value.number;
}

double ConfigFields::number_or(const char* field,
                               double fallback,
                               double lowest,
                               double highest) const {
    return has(field) ? number(field, lowest, highest) : fallback;
}

bool ConfigFields::boolean_or(const char* field, bool fallback) const {
    const ConfigValue* value = find(field);
    if (value == nullptr) return fallback;
    if (value->kind != JsonKind::boolean) fail(field, "true or false");
    return value->integer != 0;
}

std::string ConfigFields::text(const char* field) const {
    const ConfigValue& value = need(field, "a string");
    if (value.kind != JsonKind::string) fail(field, "a string");
    return value.text;
}

std::vector<int> ConfigFields::integers(const char* field,
                                        std::int64_t lowest,
                                        std::int64_t highest) const {
    const ConfigValue* value = find(field);
    if (value == nullptr) return {};
    if (value->kind != JsonKind::array) return {integer(field, lowest, highest)};
    const std::string expected = integer_range(lowest, highest) + ", or a list of them";
    if (!value->holds_only_integers) fail(field, expected);
    std::vector<int> numbers;
    for (const std::int64_t element : value->elements) {
        if (element < lowest || element > highest) fail(field, expected);
        numbers.push_back(static_cast<int>(element));
    }
    return numbers;
}

std::optional<ConfigFields> ConfigFields::object(const char* field) const {
    const ConfigValue* value = find(field);
    if (value == nullptr) return std::nullopt;
    if (value->kind != JsonKind::object) fail(field, "an object");
    return ConfigFields(*values_, file_, prefix_ + field + ".");
}

void ConfigFields::require_text(const char* field, std::string_view accepted) const {
    if (!has(field)) return;
    if (text(field) != accepted) fail(field, fmt::format("\"{}\"", accepted));
}

}  // namespace baltoro
