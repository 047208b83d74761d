#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "weights/strict_json.h"

namespace baltoro {

// A value of a configuration file. Of an array only integers are kept: no field that is read here
// holds anything else.
struct ConfigValue {
    JsonKind kind = JsonKind::null;
    std::int64_t integer = 0;  // also true and false
    double number = 0;
    std::string text;
    std::vector<std::int64_t> elements;
    bool holds_only_integers = true;
};

// All values by their path, keys joined by '.'. A key that itself has a dot belongs to no field of
// ours and is left out.
using ConfigValues = std::map<std::string, ConfigValue, std::less<>>;

// Throws Error "FILE: ..." unless the text is one JSON object without duplicate keys, of bounded
// size and depth.
ConfigValues parse_config_values(std::string_view text, std::string_view file);

// Typed and bounded access to the fields of one object. Every failure is an Error
// "FILE: FIELD: found X, expected Y". A null counts as absent, as in Python's configurations.
// Views values and file name; lives as long as one call of the parser.
class ConfigFields {
  public:
    ConfigFields(const ConfigValues& values, std::string_view file, std::string prefix);

    bool has(const char* field) const;

    int integer(const char* field, std::int64_t lowest, std::int64_t highest) const;
    int integer_or(const char* field,
                   int fallback,
                   std::int64_t lowest,
                   std::int64_t highest) const;
    // From `lowest` to `highest`.
    double number(const char* field, double lowest, double highest) const;
    double number_or(const char* field, double fallback, double lowest, double highest) const;
    bool boolean_or(const char* field, bool fallback) const;
    std::string text(const char* field) const;
    // One integer or a list of them; empty if absent.
    std::vector<int> integers(const char* field, std::int64_t lowest, std::int64_t highest) const;
    // The object's own fields, if present.
    std::optional<ConfigFields> object(const char* field) const;

    // Throws unless the field is absent or the text `accepted`.
    void require_text(const char* field, std::string_view accepted) const;

    [[noreturn]] void fail(const char* field, std::string_view expected) const;

  private:
    const ConfigValue* find(const char* field) const;
    const ConfigValue& need(const char* field, std::string_view expected) const;

    const ConfigValues* values_;
    std::string_view file_;
    std::string prefix_;
};

}  // namespace baltoro
