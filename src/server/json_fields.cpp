#include "server/json_fields.h"

#include <array>
#include <limits>
#include <utility>

#include <fmt/format.h>

namespace baltoro::server {
namespace {

// A 64 MB conversation of small messages stays below both. Sixty-four megabytes of zeros would take
// seconds to build, in which nobody else is served. An ordered object compares a new key with all
// that it has, so the comparisons, not the keys, are what is bounded.
constexpr std::size_t kMaxValues = std::size_t{1} << 22;
constexpr std::size_t kMaxKeyComparisons = std::size_t{1} << 27;

// Counts what building the tree would cost, without building it. Up to the first mistake in the
// text it sees the same strings and brackets as the parser, which goes no further.
class CostScan {
  public:
    // The reason why the text is refused; empty if it is not.
    std::string_view run(std::string_view text) {
        for (std::size_t i = 0; i < text.size(); i++) {
            const char c = text[i];
            if (c == '"') {
                i = end_of_string(text, i);
            } else if (c == '{' || c == '[') {
                if (depth_ == kMaxJsonDepth) return "is nested deeper than 128 levels";
                n_keys_[depth_++] = 0;
                n_values_++;
            } else if (c == ',') {
                n_values_++;
            } else if (c == '}' || c == ']') {
                if (depth_ > 0) depth_--;
            } else if (c == ':' && depth_ > 0) {
                n_comparisons_ += n_keys_[depth_ - 1]++;
                if (n_comparisons_ > kMaxKeyComparisons) return "has objects with too many keys";
            }
            if (n_values_ > kMaxValues) return "has too many values";
        }
        return {};
    }

  private:
    static std::size_t end_of_string(std::string_view text, std::size_t begin) {
        std::size_t i = begin + 1;
        while (i < text.size() && text[i] != '"')
            i += text[i] == '\\' ? 2 : 1;
        return i;
    }

    std::array<std::size_t, kMaxJsonDepth> n_keys_{};
    std::size_t depth_ = 0;
    std::size_t n_values_ = 0;
    std::size_t n_comparisons_ = 0;
};

// What the parser's own message, which repeats the input, amounts to.
std::string_view reason_of(std::string_view what) {
    if (what.find("ill-formed UTF-8") != what.npos) return "is not valid UTF-8";
    if (what.find("surrogate") != what.npos) return "holds half of a surrogate pair";
    if (what.find("number overflow") != what.npos) return "holds a number that is too large";
    return "is not valid JSON";
}

std::string range_text(std::int64_t low, std::int64_t high) {
    if (high == std::numeric_limits<std::int64_t>::max()) {
        if (low == std::numeric_limits<std::int64_t>::min()) return "of 64 bits";
        return fmt::format("of at least {}", low);
    }
    return fmt::format("from {} to {}", low, high);
}

}  // namespace

void refuse(std::string param, std::string message, std::string code) {
    ApiError error;
    error.param = std::move(param);
    error.message = std::move(message);
    error.code = std::move(code);
    throw RequestError(std::move(error));
}

Result<Json> parse_body(std::string_view text) {
    const auto failure = [](std::string_view reason) {
        return Failure{fmt::format("The request body {}.", reason)};
    };
    // To the parser a zero byte is the end of the text, whatever follows.
    if (text.find('\0') != text.npos) return failure("is not valid JSON: it holds a zero byte");
    if (const std::string_view reason = CostScan().run(text); !reason.empty())
        return failure(reason);
    try {
        Json body = Json::parse(text.begin(), text.end());
        if (!body.is_object()) return failure("must be a JSON object");
        return body;
    } catch (const Json::exception& error) {
        return failure(reason_of(error.what()));
    }
}

Json require_body(std::string_view text) {
    Result<Json> body = parse_body(text);
    if (!body) refuse({}, body.error());
    return std::move(body).value();
}

std::string json_text(const Json& value) {
    return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Json text_or_null(const std::string& text) {
    return text.empty() ? Json(nullptr) : Json(text);
}

void Field::refuse(std::string_view message, std::string code) const {
    server::refuse(path_, fmt::format("{} {}", path_, message), std::move(code));
}

std::int64_t Field::integer(std::int64_t low, std::int64_t high) const {
    const bool is_integer = value_->is_number_integer();
    const bool is_large = value_->is_number_unsigned() &&
                          value_->get<std::uint64_t>() > std::numeric_limits<std::int64_t>::max();
    if (is_integer && !is_large) {
        const auto found = value_->get<std::int64_t>();
        if (found >= low && found <= high) return found;
    }
    refuse(fmt::format("must be an integer {}", range_text(low, high)));
}

double Field::number(double low, double high) const {
    if (value_->is_number()) {
        const auto found = value_->get<double>();
        if (found >= low && found <= high) return found;  // false for NaN
    }
    refuse(fmt::format("must be a number from {} to {}", low, high));
}

bool Field::boolean() const {
    if (!value_->is_boolean()) refuse("must be true or false");
    return value_->get<bool>();
}

const std::string& Field::string() const {
    if (!value_->is_string()) refuse("must be a string");
    return value_->get_ref<const std::string&>();
}

Fields Field::object() const {
    if (!value_->is_object()) refuse("must be an object");
    return Fields(*value_, path_);
}

std::vector<Field> Field::array(std::size_t max_items) const {
    if (!value_->is_array()) refuse("must be an array");
    if (value_->size() > max_items) refuse(fmt::format("must have at most {} items", max_items));
    std::vector<Field> items;
    items.reserve(value_->size());
    for (std::size_t i = 0; i < value_->size(); i++)
        items.emplace_back((*value_)[i], fmt::format("{}[{}]", path_, i));
    return items;
}

std::optional<Field> Fields::find(std::string_view key) const {
    const auto found = object_->find(key);
    if (found == object_->end() || found->is_null()) return std::nullopt;
    return Field(*found, path_of(key));
}

Field Fields::require(std::string_view key) const {
    std::optional<Field> field = find(key);
    if (!field) refuse(path_of(key), fmt::format("{} is required", path_of(key)));
    return *std::move(field);
}

std::optional<std::int64_t> Fields::integer(std::string_view key,
                                            std::int64_t low,
                                            std::int64_t high) const {
    const std::optional<Field> field = find(key);
    return field ? std::optional(field->integer(low, high)) : std::nullopt;
}

std::optional<double> Fields::number(std::string_view key, double low, double high) const {
    const std::optional<Field> field = find(key);
    return field ? std::optional(field->number(low, high)) : std::nullopt;
}

std::optional<bool> Fields::boolean(std::string_view key) const {
    const std::optional<Field> field = find(key);
    return field ? std::optional(field->boolean()) : std::nullopt;
}

const std::string* Fields::string(std::string_view key) const {
    const std::optional<Field> field = find(key);
    return field ? &field->string() : nullptr;
}

std::optional<Fields> Fields::object(std::string_view key) const {
    const std::optional<Field> field = find(key);
    return field ? std::optional(field->object()) : std::nullopt;
}

std::optional<std::vector<Field>> Fields::array(std::string_view key, std::size_t max_items) const {
    const std::optional<Field> field = find(key);
    return field ? std::optional(field->array(max_items)) : std::nullopt;
}

std::string Fields::path_of(std::string_view key) const {
    return path_.empty() ? std::string(key) : fmt::format("{}.{}", path_, key);
}

}  // namespace baltoro::server
