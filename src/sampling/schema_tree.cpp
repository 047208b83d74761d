#include "sampling/schema_tree.h"

#include <algorithm>

#include <fmt/format.h>

namespace baltoro {
namespace {

// What remains of two limits, either of which may be absent.
std::optional<int> lower(std::optional<int> a, std::optional<int> b) {
    if (!a || !b) return a ? a : b;
    return std::min(*a, *b);
}

std::size_t n_entries(const Schema& schema) {
    return 1 + schema.properties.size() + schema.required.size() + schema.prefix_items.size() +
           schema.any_of.size() + (schema.literals ? schema.literals->size() : 0);
}

}  // namespace

int SchemaTree::add(Schema schema) {
    work_ += n_entries(schema);
    schemas_.push_back(std::move(schema));
    return static_cast<int>(schemas_.size() - 1);
}

int SchemaTree::both(int a, int b) {
    if (a == b || b == kAny) return a;
    if (a == kAny) return b;
    if (a == kNever || b == kNever) return kNever;
    const auto [entry, is_added] = both_.try_emplace(std::minmax(a, b), 0);
    if (is_added) entry->second = add({.all_of = {a, b}});
    return entry->second;
}

Result<int> SchemaTree::without_all_of(int schema) {
    return flatten(schema, 0);
}

Result<int> SchemaTree::flatten(int schema, int depth) {
    if (at(schema).all_of.empty()) return schema;
    if (const auto known = flat_.find(schema); known != flat_.end()) return known->second;
    if (depth > kMaxDepth) {
        return Failure{fmt::format(
            "$ref and allOf lead to themselves, or to each other more than {} times", kMaxDepth)};
    }
    Schema merged = at(schema);
    merged.all_of.clear();
    const std::vector<int> parts = at(schema).all_of;
    int flat = kAny;
    if (parts.size() == 1 && merged.says_nothing() && merged.any_of.empty()) {
        Result<int> part = flatten(parts[0], depth + 1);
        if (!part) return part;
        flat = *part;
    } else {
        for (const int part : parts) {
            const Result<int> other = flatten(part, depth + 1);
            if (!other) return other;
            const Schema narrower = at(*other);  // a copy: merging adds schemas
            if (const auto failure = merge(merged, narrower)) return *failure;
        }
        flat = add(std::move(merged));
    }
    flat_[schema] = flat;
    return flat;
}

std::optional<Failure> SchemaTree::merge(Schema& into, const Schema& other) {
    work_ += n_entries(into) + n_entries(other);
    if (work_ > kMaxWork)
        return Failure{
            fmt::format("merging allOf, anyOf and $ref takes more than {} steps", kMaxWork)};
    into.types &= other.types;
    if (!into.literals) {
        into.literals = other.literals;
    } else if (other.literals) {
        std::vector<std::string> theirs = *other.literals;
        std::sort(theirs.begin(), theirs.end());
        std::erase_if(*into.literals, [&](const std::string& literal) {
            return !std::binary_search(theirs.begin(), theirs.end(), literal);
        });
    }
    merge_objects(into, other);
    merge_arrays(into, other);
    into.min_length = std::max(into.min_length, other.min_length);
    into.max_length = lower(into.max_length, other.max_length);
    if (!other.any_of.empty() && !into.any_of.empty() && into.any_of != other.any_of)
        return Failure{"more than one anyOf or oneOf for the same value is not supported"};
    if (into.any_of.empty()) into.any_of = other.any_of;
    return std::nullopt;
}

void SchemaTree::merge_objects(Schema& into, const Schema& other) {
    std::map<std::string_view, int> theirs(other.properties.begin(), other.properties.end());
    for (auto& [name, schema] : into.properties) {
        if (const auto same = theirs.find(name); same != theirs.end()) {
            schema = both(schema, same->second);
            theirs.erase(same);
        } else if (other.additional) {
            schema = both(schema, *other.additional);
        }
    }
    for (const auto& [name, schema] : other.properties) {
        if (theirs.find(name) == theirs.end()) continue;
        into.properties.emplace_back(name,
                                     into.additional ? both(schema, *into.additional) : schema);
    }
    if (into.additional && other.additional)
        into.additional = both(*into.additional, *other.additional);
    else if (other.additional)
        into.additional = other.additional;
    for (const std::string& name : other.required)
        if (std::find(into.required.begin(), into.required.end(), name) == into.required.end())
            into.required.push_back(name);
}

void SchemaTree::merge_arrays(Schema& into, const Schema& other) {
    const std::size_t n = std::max(into.prefix_items.size(), other.prefix_items.size());
    const auto element = [](const Schema& schema, std::size_t i) {
        return i < schema.prefix_items.size() ? schema.prefix_items[i]
                                              : schema.items.value_or(kAny);
    };
    std::vector<int> prefix_items;
    for (std::size_t i = 0; i < n; ++i)
        prefix_items.push_back(both(element(into, i), element(other, i)));
    into.prefix_items = std::move(prefix_items);
    if (into.items && other.items)
        into.items = both(*into.items, *other.items);
    else if (other.items)
        into.items = other.items;
    into.min_items = std::max(into.min_items, other.min_items);
    into.max_items = lower(into.max_items, other.max_items);
}

}  // namespace baltoro
