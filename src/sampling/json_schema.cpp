#include "sampling/json_schema.h"

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "sampling/json_rules.h"
#include "sampling/schema_tree.h"

namespace baltoro {
namespace {

// The type of a compact JSON text.
std::uint8_t type_of_literal(const std::string& text) {
    switch (text[0]) {
        case 'n':
            return Schema::null;
        case 't':
        case 'f':
            return Schema::boolean;
        case '"':
            return Schema::string;
        case '{':
            return Schema::object;
        case '[':
            return Schema::array;
        default:
            return text.find_first_of(".eE") == text.npos ? Schema::integer : Schema::number;
    }
}

// Code points of a compact JSON string.
int n_characters(const std::string& text) {
    int n = -2;  // the quotes
    for (std::size_t i = 0; i < text.size(); ++i) {
        if ((static_cast<unsigned char>(text[i]) & 0xc0) == 0x80) continue;  // continues one
        if (text[i] == '\\') i += text[i + 1] == 'u' ? 5 : 1;
        ++n;
    }
    return n;
}

// Makes a rule for each schema that the root leads to, one after the other, so that nothing
// recurses. Lives during the compilation only.
class SchemaCompiler {
  public:
    explicit SchemaCompiler(SchemaTree tree) : tree_(std::move(tree)) {}

    Result<Grammar> compile() {
        const GrammarStateId start = rule_of(SchemaTree::kRoot);
        for (std::size_t i = 0; i < pending_.size() && !failure_ && !builder_.is_full(); ++i)
            add_value(pending_[i].first, pending_[i].second);
        if (failure_) return *failure_;
        return builder_.build(start);
    }

  private:
    // The start of the rule for a schema, which is filled later if it is new.
    GrammarStateId rule_of(int schema) {
        const Result<int> flat = tree_.without_all_of(schema);
        if (!flat) {
            failure_ = Failure{flat.error()};
            return 0;
        }
        const auto [entry, is_added] = rules_.try_emplace(*flat, 0);
        if (is_added) {
            entry->second = builder_.add_state();
            pending_.emplace_back(*flat, entry->second);
        }
        return entry->second;
    }

    void add_value(int number, GrammarStateId start) {
        Schema schema = tree_.at(number);  // a copy: rules add schemas
        const GrammarStateId end = builder_.add_state();
        builder_.mark_end(end);
        if (!schema.any_of.empty()) {
            const std::vector<int> branches = std::exchange(schema.any_of, {});
            const int rest = schema.says_nothing() ? SchemaTree::kAny : tree_.add(schema);
            for (const int branch : branches)
                builder_.add_call(start, rule_of(tree_.both(rest, branch)), end);
        } else if (schema.literals) {
            add_literals(schema, start, end);
        } else {
            add_types(schema, start, end);
        }
    }

    // Those that what is said besides allows, too.
    void add_literals(const Schema& schema, GrammarStateId start, GrammarStateId end) {
        std::vector<std::string> literals;
        for (const std::string& literal : *schema.literals) {
            const std::uint8_t type = type_of_literal(literal);
            if ((schema.types & type) == 0) continue;
            if ((type == Schema::object && schema.bounds_objects()) ||
                (type == Schema::array && schema.bounds_arrays())) {
                failure_ = Failure{
                    "objects or arrays in enum or const together with keywords about what they "
                    "hold are not supported"};
                return;
            }
            if (type != Schema::string) {
                literals.push_back(literal);
                continue;
            }
            const int length = n_characters(literal);
            if (length >= schema.min_length && length <= schema.max_length.value_or(length))
                literals.push_back(literal);
        }
        rules_of_json_.add_literals(start, literals, end);
    }

    void add_types(const Schema& schema, GrammarStateId start, GrammarStateId end) {
        std::vector<std::string> words;
        if ((schema.types & Schema::null) != 0) words.emplace_back("null");
        if ((schema.types & Schema::boolean) != 0) words.insert(words.end(), {"true", "false"});
        rules_of_json_.add_literals(start, words, end);
        if ((schema.types & Schema::number) != 0)
            builder_.add_call(start, rules_of_json_.number(), end);
        else if ((schema.types & Schema::integer) != 0)
            builder_.add_call(start, rules_of_json_.integer(), end);
        if ((schema.types & Schema::string) != 0) add_string(schema, start, end);
        if ((schema.types & Schema::object) != 0) add_object(schema, start, end);
        if ((schema.types & Schema::array) != 0) add_array(schema, start, end);
    }

    GrammarStateId add_byte(GrammarStateId from, char byte) {
        const GrammarStateId to = builder_.add_state();
        builder_.add_byte(from, byte, to);
        return to;
    }

    // `from`, one value of the schema, and the state that follows.
    GrammarStateId add_call(GrammarStateId from, int schema) {
        const GrammarStateId to = builder_.add_state();
        builder_.add_call(from, rule_of(schema), to);
        return to;
    }

    void add_string(const Schema& schema, GrammarStateId start, GrammarStateId end) {
        if (schema.min_length == 0 && !schema.max_length) {
            builder_.add_call(start, rules_of_json_.string(), end);
            return;
        }
        const GrammarStateId character = rules_of_json_.character();
        GrammarStateId state = add_byte(start, '"');
        for (int n = 0; !builder_.is_full(); ++n) {
            if (n >= schema.min_length && n <= schema.max_length.value_or(n))
                builder_.add_byte(state, '"', end);
            if (n >= schema.min_length && !schema.max_length) {
                builder_.add_call(state, character, state);
                return;
            }
            if (schema.max_length && n >= *schema.max_length) return;
            const GrammarStateId next = builder_.add_state();
            builder_.add_call(state, character, next);
            state = next;
        }
    }

    struct Property {
        std::string name;
        int schema;
        bool is_required;
    };

    // The properties in the order in which they are written.
    static std::vector<Property> properties_of(const Schema& schema, int additional) {
        std::vector<Property> properties;
        std::vector<std::string> required = schema.required;
        std::sort(required.begin(), required.end());
        std::map<std::string_view, int> named(schema.properties.begin(), schema.properties.end());
        for (const auto& [name, number] : schema.properties)
            properties.push_back(
                {name, number, std::binary_search(required.begin(), required.end(), name)});
        for (const std::string& name : schema.required)
            if (named.try_emplace(name, 0).second) properties.push_back({name, additional, true});
        return properties;
    }

    // From '{' to '}'. `none` and `some` are the states before a property's key if nothing or
    // something is written already; the key's own state is that of both.
    void add_object(const Schema& schema, GrammarStateId start, GrammarStateId end) {
        const bool is_open = schema.additional || schema.properties.empty();
        const int additional = schema.additional.value_or(SchemaTree::kAny);
        const std::vector<Property> properties = properties_of(schema, additional);
        const std::size_t n = properties.size();
        if (n > SchemaTree::kMaxProperties) {
            failure_ = Failure{fmt::format("an object has {} properties; up to {} are accepted", n,
                                           SchemaTree::kMaxProperties)};
            return;
        }
        // Up to here, everything that follows may be left out.
        std::size_t n_needed = n;
        while (n_needed > 0 && !properties[n_needed - 1].is_required)
            --n_needed;
        std::vector<GrammarStateId> keys(n + 1);
        for (GrammarStateId& key : keys)
            key = builder_.add_state();
        const GrammarStateId open = add_byte(start, '{');
        builder_.add_epsilon(open, keys[0]);
        if (n_needed == 0) builder_.add_byte(open, '}', end);
        for (std::size_t i = 0; i < n + (is_open ? 1 : 0) && !builder_.is_full(); ++i) {
            const GrammarStateId after_key = builder_.add_state();
            if (i < n) {
                rules_of_json_.add_literals(keys[i], std::span(&properties[i].name, 1), after_key);
                if (!properties[i].is_required) builder_.add_epsilon(keys[i], keys[i + 1]);
            } else {
                std::vector<std::string> names;
                for (const Property& property : properties)
                    names.push_back(property.name);
                rules_of_json_.add_other_key(keys[n], std::move(names), after_key);
            }
            const GrammarStateId before_value = rules_of_json_.add_separator(after_key, ':');
            const GrammarStateId written =
                add_call(before_value, i < n ? properties[i].schema : additional);
            const GrammarStateId next_key = keys[std::min(i + 1, n)];
            builder_.add_epsilon(rules_of_json_.add_separator(written, ','), next_key);
            if (i + 1 >= n_needed) builder_.add_byte(written, '}', end);
        }
    }

    // From '[' to ']': the elements of prefix_items, then of items.
    void add_array(const Schema& schema, GrammarStateId start, GrammarStateId end) {
        const auto n_prefix = static_cast<int>(schema.prefix_items.size());
        // Further elements that are asked for may be anything if the schema does not say.
        const bool has_rest = schema.items || n_prefix == 0 || schema.min_items > n_prefix;
        const int rest = schema.items.value_or(SchemaTree::kAny);
        const int repeats_from = std::max({schema.min_items, n_prefix, 1});
        std::optional<int> most = schema.max_items;
        if (!has_rest) most = std::min(most.value_or(n_prefix), n_prefix);
        GrammarStateId before = add_byte(start, '[');
        if (schema.min_items == 0) builder_.add_byte(before, ']', end);
        for (int n = 1; !builder_.is_full() && n <= most.value_or(n); ++n) {
            const int element =
                n <= n_prefix ? schema.prefix_items[static_cast<std::size_t>(n - 1)] : rest;
            const GrammarStateId after = add_call(before, element);
            if (n >= schema.min_items) builder_.add_byte(after, ']', end);
            const GrammarStateId next = rules_of_json_.add_separator(after, ',');
            if (!most && n > repeats_from) {
                builder_.add_epsilon(next, before);
                return;
            }
            before = next;
        }
    }

    SchemaTree tree_;
    GrammarBuilder builder_;
    JsonRules rules_of_json_{builder_};
    std::map<int, GrammarStateId> rules_;  // by schema without all_of
    std::vector<std::pair<int, GrammarStateId>> pending_;
    std::optional<Failure> failure_;
};

}  // namespace

Result<Grammar> compile_json_schema(std::string_view schema_text) {
    Result<SchemaTree> tree = SchemaTree::parse(schema_text);
    if (!tree) return Failure{tree.error()};
    return SchemaCompiler(std::move(tree).value()).compile();
}

}  // namespace baltoro
