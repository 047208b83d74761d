#include "weights/strict_json.h"

#include <algorithm>
#include <cstddef>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/error.h"

namespace baltoro {
namespace {

std::string printable(std::string_view text, std::size_t max_length) {
    std::string result(text.substr(0, max_length));
    for (char& c : result) {
        if (c < ' ' || c > '~') c = '?';
    }
    return text.size() > max_length ? result + "..." : result;
}

// An open object or array. The keys of an object are kept end to end and sorted when it closes:
// cheaper than a set, both for 200,000 tensors and for the three fields of each.
struct OpenContainer {
    bool is_object = false;
    std::string keys;
    std::vector<std::pair<std::size_t, std::size_t>> key_ranges;

    std::string_view key(std::pair<std::size_t, std::size_t> range) const {
        return std::string_view(keys).substr(range.first, range.second);
    }
};

// The callbacks that nlohmann's SAX parser expects; their names and signatures are its own.
class Walker {
  public:
    Walker(std::string_view source,
           int max_depth,
           const std::function<void(JsonPath, const JsonValue&)>& visit)
        : source_(source),
          open_(static_cast<std::size_t>(max_depth)),
          path_(static_cast<std::size_t>(max_depth)),
          visit_(visit) {}

    bool null() { return value({.kind = JsonKind::null}); }
    bool boolean(bool is_true) { return value({.kind = JsonKind::boolean, .integer = is_true}); }
    bool number_integer(std::int64_t number) {
        const auto as_double = static_cast<double>(number);
        return value({.kind = JsonKind::integer, .integer = number, .number = as_double});
    }
    bool number_unsigned(std::uint64_t number) {
        const auto as_double = static_cast<double>(number);
        if (number > INT64_MAX) return value({.kind = JsonKind::number, .number = as_double});
        return number_integer(static_cast<std::int64_t>(number));
    }
    bool number_float(double number, const std::string& /*spelling*/) {
        return value({.kind = JsonKind::number, .number = number});
    }
    bool string(std::string& text) { return value({.kind = JsonKind::string, .text = text}); }
    bool binary(nlohmann::json::binary_t& /*bytes*/) { return false; }  // not part of JSON text

    bool start_object(std::size_t /*size*/) { return open(JsonKind::object); }
    bool start_array(std::size_t /*size*/) { return open(JsonKind::array); }
    bool end_array() {
        --n_open_;
        return true;
    }
    bool key(std::string& name) {
        OpenContainer& object = open_[n_open_ - 1];
        object.key_ranges.emplace_back(object.keys.size(), name.size());
        object.keys += name;
        path_[n_open_ - 1] = name;
        return true;
    }
    bool end_object() {
        reject_duplicate_keys(open_[n_open_ - 1]);
        --n_open_;
        return true;
    }
    bool parse_error(std::size_t /*position*/,
                     const std::string& /*last_token*/,
                     const nlohmann::json::exception& error) {
        std::string_view reason = error.what();  // "[json.exception.parse_error.101] parse error…"
        if (const auto bracket = reason.find("] "); bracket != reason.npos)
            reason.remove_prefix(bracket + 2);
        throw Error(fmt::format("{}: not valid JSON: {}", source_, printable(reason, 300)));
    }

  private:
    bool value(const JsonValue& met) {
        visit_(JsonPath(path_.data(), n_open_), met);
        return true;
    }

    bool open(JsonKind kind) {
        value({.kind = kind});
        if (n_open_ == open_.size()) {
            throw Error(
                fmt::format("{}: objects and arrays are nested deeper than the {} levels "
                            "that are accepted",
                            source_, open_.size()));
        }
        OpenContainer& container = open_[n_open_];
        container.is_object = kind == JsonKind::object;
        container.keys.clear();
        container.key_ranges.clear();
        path_[n_open_++] = "[]";
        return true;
    }

    void reject_duplicate_keys(OpenContainer& object) const {
        auto& ranges = object.key_ranges;
        std::sort(ranges.begin(), ranges.end(),
                  [&](auto a, auto b) { return object.key(a) < object.key(b); });
        const auto twice = std::adjacent_find(ranges.begin(), ranges.end(), [&](auto a, auto b) {
            return object.key(a) == object.key(b);
        });
        if (twice == ranges.end()) return;
        throw Error(fmt::format("{}: key {} occurs twice in one object", source_,
                                in_quotes(object.key(*twice))));
    }

    std::string_view source_;
    std::size_t n_open_ = 0;
    std::vector<OpenContainer> open_;
    std::vector<std::string> path_;  // the current key of every open container
    const std::function<void(JsonPath, const JsonValue&)>& visit_;
};

}  // namespace

void walk_json(std::string_view text,
               std::string_view source,
               int max_depth,
               const std::function<void(JsonPath, const JsonValue&)>& visit) {
    // To the parser a zero byte is the end of the text, whatever follows.
    if (text.find('\0') != text.npos)
        throw Error(fmt::format("{}: not valid JSON: it holds a zero byte", source));
    Walker walker(source, max_depth, visit);
    nlohmann::json::sax_parse(text.data(), text.data() + text.size(), &walker);
}

std::string in_quotes(std::string_view text) {
    return '"' + printable(text, 200) + '"';
}

std::string spelled(const JsonValue& value) {
    switch (value.kind) {
        case JsonKind::null:
            return "null";
        case JsonKind::boolean:
            return value.integer != 0 ? "true" : "false";
        case JsonKind::integer:
            return std::to_string(value.integer);
        case JsonKind::number:
            return fmt::format("{}", value.number);
        case JsonKind::string:
            return in_quotes(value.text);
        case JsonKind::object:
            return "an object";
        case JsonKind::array:
            return "an array";
    }
    return "?";
}

}  // namespace baltoro
