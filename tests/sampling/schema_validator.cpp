#include "tests/sampling/schema_validator.h"

#include <algorithm>
#include <cmath>

namespace baltoro {
namespace {

using Json = nlohmann::json;

bool is_of_type(const std::string& type, const Json& value) {
    if (type == "null") return value.is_null();
    if (type == "boolean") return value.is_boolean();
    if (type == "string") return value.is_string();
    if (type == "object") return value.is_object();
    if (type == "array") return value.is_array();
    if (type == "number") return value.is_number();
    return value.is_number() && value.get<double>() == std::floor(value.get<double>());
}

bool has_right_type(const Json& schema, const Json& value) {
    if (schema.value("nullable", false) && value.is_null()) return true;
    if (!schema.contains("type")) return true;
    const Json& type = schema["type"];
    if (type.is_string()) return is_of_type(type, value);
    return std::any_of(type.begin(), type.end(),
                       [&](const Json& one) { return is_of_type(one, value); });
}

std::size_t n_code_points(const std::string& text) {
    return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) {
        return (static_cast<unsigned char>(c) & 0xc0) != 0x80;
    }));
}

bool object_satisfies(const Json& schema, const Json& value, const Json& root) {
    for (const Json& name : schema.value("required", Json::array()))
        if (!value.contains(name.get<std::string>())) return false;
    const Json properties = schema.value("properties", Json::object());
    for (const auto& [name, member] : value.items()) {
        if (properties.contains(name)) {
            if (!satisfies(properties[name], member, root)) return false;
        } else if (schema.contains("additionalProperties")) {
            if (!satisfies(schema["additionalProperties"], member, root)) return false;
        }
    }
    return true;
}

bool array_satisfies(const Json& schema, const Json& value, const Json& root) {
    if (value.size() < schema.value("minItems", 0u)) return false;
    if (value.size() > schema.value("maxItems", 1000000u)) return false;
    const Json prefix = schema.value("prefixItems", Json::array());
    for (std::size_t i = 0; i < value.size(); ++i) {
        if (i < prefix.size()) {
            if (!satisfies(prefix[i], value[i], root)) return false;
        } else if (schema.contains("items")) {
            if (!satisfies(schema["items"], value[i], root)) return false;
        }
    }
    return true;
}

}  // namespace

bool satisfies(const Json& schema, const Json& value, const Json& root) {
    if (schema.is_boolean()) return schema.get<bool>();
    const auto holds = [&](const Json& part) { return satisfies(part, value, root); };
    if (schema.contains("$ref")) {
        const std::string reference = schema["$ref"];
        if (!holds(root.at(Json::json_pointer(reference.substr(1))))) return false;
    }
    for (const char* keyword : {"anyOf", "oneOf"}) {
        if (!schema.contains(keyword)) continue;
        const Json& branches = schema[keyword];
        if (std::none_of(branches.begin(), branches.end(), holds)) return false;
    }
    const Json all = schema.value("allOf", Json::array());
    if (!std::all_of(all.begin(), all.end(), holds)) return false;
    if (!has_right_type(schema, value)) return false;
    if (schema.contains("const") && schema["const"] != value) return false;
    if (schema.contains("enum")) {
        const Json& values = schema["enum"];
        if (std::find(values.begin(), values.end(), value) == values.end()) return false;
    }
    if (value.is_string()) {
        const std::size_t length = n_code_points(value.get<std::string>());
        return length >= schema.value("minLength", 0u) &&
               length <= schema.value("maxLength", 1000000u);
    }
    if (value.is_object()) return object_satisfies(schema, value, root);
    return !value.is_array() || array_satisfies(schema, value, root);
}

}  // namespace baltoro
