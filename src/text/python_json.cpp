#include "text/python_json.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>
#include <numeric>
#include <unordered_map>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/error.h"

namespace baltoro {
namespace {

constexpr std::size_t kMaxDepth = 128;

using Kind = JsonValue::Kind;

// Builds the value from the parser's events and knows the place of a failure. The names are those
// that nlohmann::json asks for.
class Builder : public nlohmann::json_sax<nlohmann::json> {
  public:
    explicit Builder(const std::string& name) : name_(name) {}

    JsonValue take() { return std::move(root_); }

    bool null() override {
        put({});
        return true;
    }
    bool boolean(bool value) override {
        put({.kind = Kind::boolean, .boolean = value});
        return true;
    }
    bool number_integer(number_integer_t value) override {
        return put_number(std::to_string(value));
    }
    bool number_unsigned(number_unsigned_t value) override {
        return put_number(std::to_string(value));
    }
    bool number_float(number_float_t value, const string_t& spelling) override {
        // An integer past 64 bits comes here too; Python keeps all of its digits.
        const bool is_integer = spelling.find_first_of(".eE") == std::string::npos;
        return put_number(is_integer ? spelling : python_float(value));
    }
    bool string(string_t& value) override {
        put({.kind = Kind::string, .text = std::move(value)});
        return true;
    }
    bool binary(binary_t&) override { return false; }  // JSON text has none
    bool start_object(std::size_t) override { return open(Kind::object); }
    bool start_array(std::size_t) override { return open(Kind::array); }
    bool end_object() override { return close(); }
    bool end_array() override { return close(); }

    bool key(string_t& value) override {
        Frame& frame = open_.back();
        const auto [known, is_new] = frame.index_of.emplace(value, frame.value->keys.size());
        frame.index = known->second;
        frame.has_key = true;
        if (!is_new) {
            frame.value->items[frame.index] = {};
            return true;
        }
        frame.value->keys.push_back(std::move(value));
        frame.value->items.emplace_back();
        return true;
    }

    bool parse_error(std::size_t position,
                     const std::string&,
                     const nlohmann::json::exception& error) override {
        // The parser's own message repeats the input, which may be no UTF-8.
        const std::string_view what = error.what();
        std::string_view reason = "not valid JSON";
        if (what.find("ill-formed UTF-8") != std::string_view::npos) reason = "invalid UTF-8";
        if (what.find("out_of_range") != std::string_view::npos) reason = "number out of range";
        throw Error(fmt::format("{}: {} at byte {}", place(), reason, position));
    }

  private:
    struct Frame {
        JsonValue* value;
        std::unordered_map<std::string, std::size_t> index_of;
        std::size_t index = 0;  // of the value that is being read
        bool has_key = false;
    };

    bool put_number(std::string text) {
        put({.kind = Kind::number, .text = std::move(text)});
        return true;
    }

    // Addresses of open values stay: only the innermost one's items grow.
    JsonValue* put(JsonValue value) {
        if (open_.empty()) {
            root_ = std::move(value);
            return &root_;
        }
        Frame& frame = open_.back();
        std::vector<JsonValue>& items = frame.value->items;
        if (frame.value->kind == Kind::array) {
            frame.index = items.size();
            items.emplace_back();
        }
        frame.has_key = false;
        items[frame.index] = std::move(value);
        return &items[frame.index];
    }

    bool open(Kind kind) {
        if (open_.size() == kMaxDepth)
            throw Error(fmt::format("{}: nested deeper than {} levels", place(), kMaxDepth));
        open_.push_back({.value = put({.kind = kind}), .index_of = {}});
        return true;
    }

    bool close() {
        open_.pop_back();
        return true;
    }

    std::string place() const {
        std::string text = name_;
        for (std::size_t i = 0; i < open_.size(); ++i) {
            const Frame& frame = open_[i];
            const bool is_last = i + 1 == open_.size();
            if (frame.value->kind == Kind::array) {
                text += fmt::format("[{}]", is_last ? frame.value->items.size() : frame.index);
            } else if (!is_last || frame.has_key) {
                text += "." + frame.value->keys[frame.index];
            }
        }
        return text;
    }

    const std::string& name_;
    JsonValue root_;
    std::vector<Frame> open_;
};

void append_string(std::string_view text, std::string& out) {
    out += '"';
    for (const char c : text) {
        switch (c) {
            case '"':
                out += "\\\"";
                break;
            case '\\':
                out += "\\\\";
                break;
            case '\b':
                out += "\\b";
                break;
            case '\f':
                out += "\\f";
                break;
            case '\n':
                out += "\\n";
                break;
            case '\r':
                out += "\\r";
                break;
            case '\t':
                out += "\\t";
                break;
            default:
                if (static_cast<unsigned char>(c) < 0x20) {
                    out += fmt::format("\\u{:04x}", static_cast<int>(c));
                } else {
                    out += c;
                }
        }
    }
    out += '"';
}

void append_value(const JsonValue& value, const JsonSeparators& separators, std::string& out) {
    switch (value.kind) {
        case Kind::null:
            out += "null";
            return;
        case Kind::boolean:
            out += value.boolean ? "true" : "false";
            return;
        case Kind::number:
            out += value.text;
            return;
        case Kind::string:
            append_string(value.text, out);
            return;
        case Kind::array:
        case Kind::object:
            break;
    }
    const bool is_object = value.kind == Kind::object;
    out += is_object ? '{' : '[';
    for (std::size_t i = 0; i < value.items.size(); ++i) {
        if (i > 0) out += separators.item;
        if (is_object) {
            append_string(value.keys[i], out);
            out += separators.key;
        }
        append_value(value.items[i], separators, out);
    }
    out += is_object ? '}' : ']';
}

}  // namespace

const JsonValue* JsonValue::find(std::string_view key) const noexcept {
    if (kind != Kind::object) return nullptr;
    const auto found = std::find(keys.begin(), keys.end(), key);
    return found == keys.end() ? nullptr : &items[static_cast<std::size_t>(found - keys.begin())];
}

JsonValue parse_json(std::string_view text, const std::string& name) {
    Builder builder(name);
    nlohmann::json::sax_parse(text, &builder);
    return builder.take();
}

void sort_keys(JsonValue& value) {
    for (JsonValue& item : value.items)
        sort_keys(item);
    if (value.kind != Kind::object) return;
    std::vector<std::size_t> order(value.keys.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
        return value.keys[a] < value.keys[b];  // bytes of UTF-8 sort as code points do
    });
    JsonValue sorted;
    sorted.kind = Kind::object;
    for (const std::size_t i : order) {
        sorted.keys.push_back(std::move(value.keys[i]));
        sorted.items.push_back(std::move(value.items[i]));
    }
    value = std::move(sorted);
}

std::string dump_json(const JsonValue& value, const JsonSeparators& separators) {
    std::string out;
    append_value(value, separators, out);
    return out;
}

std::string python_float(double value) {
    // Shortest digits "d.ddde[+-]dd", then Python's choice: positional for exponents -4 to 15.
    std::array<char, 40> buffer;
    const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value,
                                   std::chars_format::scientific)
                         .ptr;
    const std::string_view scientific(buffer.data(), static_cast<std::size_t>(end - buffer.data()));
    const std::size_t e = scientific.find('e');
    const int exponent = std::atoi(std::string(scientific.substr(e + 1)).c_str());
    if (exponent < -4 || exponent >= 16) return std::string(scientific);
    std::string digits;
    for (const char c : scientific.substr(0, e))
        if (c >= '0' && c <= '9') digits += c;
    const std::string sign = scientific[0] == '-' ? "-" : "";
    if (exponent < 0)
        return sign + "0." + std::string(static_cast<std::size_t>(-exponent - 1), '0') + digits;
    const std::size_t n_whole = static_cast<std::size_t>(exponent) + 1;
    if (digits.size() <= n_whole)
        return sign + digits + std::string(n_whole - digits.size(), '0') + ".0";
    return sign + digits.substr(0, n_whole) + "." + digits.substr(n_whole);
}

}  // namespace baltoro
