// SchemaTree::parse: the keywords of a schema text.

#include <algorithm>
#include <array>
#include <cmath>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "sampling/schema_tree.h"

namespace baltoro {

using Json = nlohmann::ordered_json;  // properties are written in the schema's order

namespace {

constexpr std::array<std::pair<std::string_view, std::uint8_t>, 7> kTypes = {{
    {"null", Schema::null},
    {"boolean", Schema::boolean},
    {"integer", Schema::integer},
    {"number", Schema::number | Schema::integer},
    {"string", Schema::string},
    {"object", Schema::object},
    {"array", Schema::array},
}};

// Keywords that change which values are right in a way that is not enforced, so that a schema with
// them is refused rather than answered wrongly. Bounds on one value or its spelling (pattern,
// format, minimum, multipleOf, uniqueItems, minProperties, propertyNames, …) are not enforced
// either, but are ignored: most schemas have some, and models follow them well.
constexpr std::array<std::string_view, 14> kRefused = {
    "not",           "if",
    "then",          "else",
    "contains",      "patternProperties",
    "dependencies",  "dependentRequired",
    "$dynamicRef",   "dependentSchemas",
    "$recursiveRef", "unevaluatedItems",
    "extends",       "unevaluatedProperties",
};

// Looks at the text's structure before a tree is made of it.
std::optional<Failure> check_size(std::string_view text) {
    if (text.size() > SchemaTree::kMaxBytes)
        return Failure{fmt::format("it has {} bytes; up to {} are accepted", text.size(),
                                   SchemaTree::kMaxBytes)};
    std::size_t n_values = 1;
    int depth = 0;
    bool is_in_string = false;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const char c = text[i];
        if (is_in_string) {
            if (c == '\\') ++i;
            if (c == '"') is_in_string = false;
            continue;
        }
        is_in_string = c == '"';
        if (c == '[' || c == '{') ++depth;
        if (c == ']' || c == '}') --depth;
        if (c == '[' || c == '{' || c == ',') ++n_values;
        if (depth > 2 * SchemaTree::kMaxDepth)
            return Failure{
                fmt::format("schemas are nested deeper than {} levels", SchemaTree::kMaxDepth)};
    }
    if (n_values > SchemaTree::kMaxNodes)
        return Failure{fmt::format("it has more than {} values", SchemaTree::kMaxNodes)};
    return std::nullopt;
}

}  // namespace

// Reads the schemas that the root leads to, one after the other, so that nothing recurses. The
// first failure is kept and ends the reading. Lives during the parse only.
class SchemaReader {
  public:
    explicit SchemaReader(const Json& root) : root_(root) {
        tree_.add({});                          // kAny
        tree_.add({.types = std::uint8_t{0}});  // kNever
    }

    Result<SchemaTree> read() {
        number_of(root_);
        for (std::size_t i = 0; i < pending_.size() && !failure_; ++i)
            read_schema(*pending_[i].first, pending_[i].second);
        if (failure_) return *failure_;
        Schema& root = tree_.schemas_[SchemaTree::kRoot];
        // JSON mode: what is asked for is an object, whatever is in it.
        if (root.says_nothing() && root.all_of.empty() && root.any_of.empty())
            root.types = Schema::object;
        return std::move(tree_);
    }

  private:
    // The number of the schema at `json`, which is read later if it is new.
    int number_of(const Json& json) {
        if (json.is_boolean() && &json != &root_)
            return json.get<bool>() ? SchemaTree::kAny : SchemaTree::kNever;
        const auto [entry, is_added] = numbers_.try_emplace(&json, 0);
        if (is_added) {
            entry->second = tree_.add({});
            pending_.emplace_back(&json, entry->second);
        }
        return entry->second;
    }

    void fail(std::string message) {
        if (!failure_) failure_ = Failure{std::move(message)};
    }
    void expect(bool is_right, std::string_view keyword, std::string_view expected) {
        if (!is_right) fail(fmt::format("{}: expected {}", keyword, expected));
    }

    void read_schema(const Json& json, int number) {
        Schema schema;
        if (json.is_boolean() && !json.get<bool>()) schema.types = 0;
        expect(json.is_object() || json.is_boolean(), "a schema", "an object, true or false");
        if (!json.is_object()) {
            tree_.schemas_[static_cast<std::size_t>(number)] = schema;
            return;
        }
        for (const std::string_view keyword : kRefused)
            if (json.contains(keyword)) fail(fmt::format("{} is not supported", keyword));
        read_types(json, schema);
        read_object(json, schema);
        read_array(json, schema);
        schema.min_length = count(json, "minLength").value_or(0);
        schema.max_length = count(json, "maxLength");
        if (!json.contains("type")) schema.types &= types_meant(schema);
        read_combinations(json, schema);
        tree_.schemas_[static_cast<std::size_t>(number)] = std::move(schema);
    }

    // Without "type", the others say which type they are about.
    static std::uint8_t types_meant(const Schema& schema) {
        std::uint8_t types = 0;
        if (schema.bounds_objects()) types |= Schema::object;
        if (schema.bounds_arrays()) types |= Schema::array;
        if (schema.bounds_strings()) types |= Schema::string;
        return types != 0 ? types : std::uint8_t{Schema::any};
    }

    void read_types(const Json& json, Schema& schema) {
        if (const auto type = json.find("type"); type != json.end()) {
            schema.types = 0;
            expect(type->is_string() || type->is_array(), "type", "a string or an array of them");
            if (type->is_string()) schema.types = type_of(*type);
            if (type->is_array())
                for (const Json& name : *type)
                    schema.types |= type_of(name);
            // OpenAPI 3.0 widens only a type by it, neither enum nor anyOf.
            const auto nullable = json.find("nullable");
            if (nullable != json.end() && *nullable == true) schema.types |= Schema::null;
        }
        if (const auto values = json.find("enum"); values != json.end()) {
            expect(values->is_array(), "enum", "an array");
            if (values->is_array()) read_enum(*values, schema);
        }
        if (const auto value = json.find("const"); value != json.end()) {
            const std::string text = value->dump();
            if (schema.literals)
                std::erase_if(*schema.literals,
                              [&](const auto& literal) { return literal != text; });
            else
                schema.literals = {text};
        }
    }

    std::uint8_t type_of(const Json& name) {
        const auto* text = name.get_ptr<const std::string*>();
        for (const auto& [known, bits] : kTypes)
            if (text != nullptr && *text == known) return bits;
        fail("type: expected null, boolean, integer, number, string, object or array");
        return 0;
    }

    void read_enum(const Json& values, Schema& schema) {
        if (values.size() > SchemaTree::kMaxEnum)
            return fail(fmt::format("enum: it has {} values; up to {} are accepted", values.size(),
                                    SchemaTree::kMaxEnum));
        schema.literals.emplace();
        for (const Json& value : values)
            schema.literals->push_back(value.dump());
    }

    void read_object(const Json& json, Schema& schema) {
        if (const auto properties = json.find("properties"); properties != json.end()) {
            expect(properties->is_object(), "properties", "an object");
            if (properties->is_object())
                for (const auto& [name, value] : properties->items())
                    schema.properties.emplace_back(spelled_name(name), number_of(value));
        }
        if (const auto required = json.find("required"); required != json.end()) {
            expect(required->is_array(), "required", "an array of strings");
            for (const auto& [index, name] : required->items()) {
                expect(name.is_string(), "required", "an array of strings");
                schema.required.push_back(spelled_name(name));
            }
        }
        if (const auto other = json.find("additionalProperties"); other != json.end())
            schema.additional = number_of(*other);
    }

    std::string spelled_name(const Json& name) {
        std::string text = name.dump();
        if (text.size() > SchemaTree::kMaxNameBytes)
            fail(fmt::format("a property's name has {} bytes; up to {} are accepted", text.size(),
                             SchemaTree::kMaxNameBytes));
        return text;
    }

    void read_array(const Json& json, Schema& schema) {
        const auto items = json.find("items");
        const bool is_tuple = items != json.end() && items->is_array();  // before draft 2020-12
        const auto prefix = is_tuple ? items : json.find("prefixItems");
        const auto rest = is_tuple ? json.find("additionalItems") : items;
        if (prefix != json.end()) {
            expect(prefix->is_array(), "prefixItems", "an array");
            for (const auto& [index, element] : prefix->items())
                schema.prefix_items.push_back(number_of(element));
        }
        if (rest != json.end()) schema.items = number_of(*rest);
        schema.min_items = count(json, "minItems").value_or(0);
        schema.max_items = count(json, "maxItems");
    }

    // A keyword whose value is how many there may be.
    std::optional<int> count(const Json& json, const char* keyword) {
        const auto value = json.find(keyword);
        if (value == json.end()) return std::nullopt;
        const double number = value->is_number() ? value->get<double>() : -1.0;
        expect(number >= 0.0 && number == std::floor(number), keyword, "a whole number");
        if (number > SchemaTree::kMaxRepeats)
            fail(fmt::format("{}: {} is more than the {} that are accepted", keyword, number,
                             SchemaTree::kMaxRepeats));
        return failure_ ? 0 : static_cast<int>(number);
    }

    void read_combinations(const Json& json, Schema& schema) {
        for (const char* keyword : {"anyOf", "oneOf", "allOf"}) {
            const auto branches = json.find(keyword);
            if (branches == json.end()) continue;
            expect(branches->is_array() && !branches->empty(), keyword, "an array of schemas");
            if (failure_) return;
            std::vector<int> numbers;
            for (const Json& branch : *branches)
                numbers.push_back(number_of(branch));
            if (keyword == std::string_view("allOf"))
                schema.all_of = std::move(numbers);
            else if (schema.any_of.empty())
                schema.any_of = std::move(numbers);
            else
                fail("anyOf and oneOf for the same value are not supported");
        }
        if (const auto reference = json.find("$ref"); reference != json.end()) {
            const auto* text = reference->get_ptr<const std::string*>();
            const Json* target = text != nullptr ? target_of(*text) : nullptr;
            if (target == nullptr)
                return fail(
                    "$ref: expected \"#\" or \"#/...\" that leads to a schema in this text");
            schema.all_of.push_back(number_of(*target));
        }
    }

    // What a reference leads to (RFC 6901); null if there is nothing.
    const Json* target_of(std::string_view reference) const {
        if (reference.empty() || reference[0] != '#') return nullptr;
        const Json* json = &root_;
        std::size_t begin = 1;
        while (begin < reference.size()) {
            if (reference[begin] != '/') return nullptr;
            const std::size_t end = std::min(reference.find('/', begin + 1), reference.size());
            std::string key(reference.substr(begin + 1, end - begin - 1));
            for (const auto& [escape, character] : {std::pair{"~1", "/"}, std::pair{"~0", "~"}})
                for (std::size_t at = 0; (at = key.find(escape, at)) != key.npos; ++at)
                    key.replace(at, 2, character);
            if (json->is_object()) {
                const auto entry = json->find(key);
                if (entry == json->end()) return nullptr;
                json = &*entry;
            } else if (json->is_array() && key.size() < 6 && !key.empty() &&
                       std::all_of(key.begin(), key.end(),
                                   [](char c) { return c >= '0' && c <= '9'; }) &&
                       std::stoul(key) < json->size()) {
                json = &(*json)[std::stoul(key)];
            } else {
                return nullptr;
            }
            begin = end;
        }
        return json;
    }

    const Json& root_;
    SchemaTree tree_;
    std::map<const Json*, int> numbers_;
    std::vector<std::pair<const Json*, int>> pending_;
    std::optional<Failure> failure_;
};

Result<SchemaTree> SchemaTree::parse(std::string_view text) {
    if (auto failure = check_size(text)) return *failure;
    const Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
    if (json.is_discarded()) return Failure{"it is not valid JSON"};
    return SchemaReader(json).read();
}

}  // namespace baltoro
