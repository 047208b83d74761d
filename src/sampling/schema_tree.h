#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace baltoro {

// What a JSON schema says about a value, as far as it is enforced. Other schemas are numbers within
// the tree.
struct Schema {
    enum Type : std::uint8_t {  // bits
        null = 1,
        boolean = 2,
        integer = 4,
        number = 8,  // integers are numbers: the bit comes with that of `integer`
        string = 16,
        object = 32,
        array = 64,
        any = 127,
    };

    std::uint8_t types = any;
    std::optional<std::vector<std::string>> literals{};     // enum, const: compact JSON
    std::vector<std::pair<std::string, int>> properties{};  // names as compact JSON
    std::vector<std::string> required{};
    std::optional<int> additional{};  // of further properties; none said: closed if `properties` is
                                      // not empty
    std::vector<int> prefix_items{};
    std::optional<int> items{};  // of further elements; none said: any if there is no prefix
    int min_items = 0;
    std::optional<int> max_items{};
    int min_length = 0;
    std::optional<int> max_length{};
    std::vector<int> any_of{};  // if not empty, one of them holds, too
    std::vector<int> all_of{};  // a reference is one of them

    bool bounds_objects() const { return !properties.empty() || !required.empty() || additional; }
    bool bounds_arrays() const {
        return !prefix_items.empty() || items || min_items > 0 || max_items;
    }
    bool bounds_strings() const { return min_length > 0 || max_length; }
    // Whether it says nothing but what all_of and any_of say.
    bool says_nothing() const {
        return types == any && !literals && !bounds_objects() && !bounds_arrays() &&
               !bounds_strings();
    }
};

// A schema text with its references resolved. Limits on the text, and on the entries of all schemas
// that merging makes, bound the time and memory that a hostile one can take.
class SchemaTree {
  public:
    static constexpr std::size_t kMaxBytes = 1 << 20;
    static constexpr int kMaxDepth = 32;  // of schemas: 64 objects and arrays of the text
    static constexpr std::size_t kMaxNodes = 10'000;
    static constexpr std::size_t kMaxEnum = 1'000;
    static constexpr std::size_t kMaxProperties = 1'000;  // all may be optional: as many places
    static constexpr int kMaxRepeats = 10'000;            // min and max of items and lengths
    static constexpr std::size_t kMaxNameBytes = 1'000;
    static constexpr std::size_t kMaxWork = 100'000;

    static constexpr int kAny = 0;    // accepts every value
    static constexpr int kNever = 1;  // accepts none
    static constexpr int kRoot = 2;

    // Fails for what is no JSON, beyond the limits, or no schema that can be enforced.
    static Result<SchemaTree> parse(std::string_view text);

    const Schema& at(int schema) const { return schemas_[static_cast<std::size_t>(schema)]; }

    // The number of an equivalent schema without all_of. Any two schemas that are merged several
    // times are the same number, so that following merged recursive schemas ends.
    Result<int> without_all_of(int schema);

    // A schema that holds where both do.
    int both(int a, int b);
    int add(Schema schema);

  private:
    friend class SchemaReader;

    Result<int> flatten(int schema, int depth);
    // Narrows `into` by `other`; neither has all_of.
    std::optional<Failure> merge(Schema& into, const Schema& other);
    void merge_objects(Schema& into, const Schema& other);
    void merge_arrays(Schema& into, const Schema& other);

    std::vector<Schema> schemas_;
    std::map<int, int> flat_;
    std::map<std::pair<int, int>, int> both_;
    std::size_t work_ = 0;
};

}  // namespace baltoro
