#include "text/tool_ids.h"

#include <optional>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "text/python_json.h"

namespace baltoro {
namespace {

using Kind = JsonValue::Kind;

JsonValue* find(JsonValue& object, std::string_view key) noexcept {
    for (std::size_t i = 0; i < object.keys.size(); ++i)
        if (object.keys[i] == key) return &object.items[i];
    return nullptr;
}

void set_string(JsonValue& object, std::string_view key, std::string text) {
    JsonValue value{.kind = Kind::string, .text = std::move(text)};
    if (JsonValue* known = find(object, key)) {
        *known = std::move(value);
        return;
    }
    object.keys.emplace_back(key);
    object.items.push_back(std::move(value));
}

void drop_if_null(JsonValue& object, std::string_view key) {
    for (std::size_t i = 0; i < object.keys.size(); ++i) {
        if (object.keys[i] != key || object.items[i].kind != Kind::null) continue;
        object.keys.erase(object.keys.begin() + static_cast<std::ptrdiff_t>(i));
        object.items.erase(object.items.begin() + static_cast<std::ptrdiff_t>(i));
        return;
    }
}

// A string that is not empty.
std::optional<std::string> text_at(const JsonValue& object, std::string_view key) {
    const JsonValue* value = object.find(key);
    if (value == nullptr || value->kind != Kind::string || value->text.empty()) return std::nullopt;
    return value->text;
}

// The calls of a conversation, as it is read from its start.
class ToolIds {
  public:
    void read(JsonValue& message) {
        for (const std::string_view key :
             {"name", "reasoning_content", "tool_calls", "tool_call_id"})
            drop_if_null(message, key);
        const std::string role = text_at(message, "role").value_or("");
        if (role == "user") first_recent_ = calls_.size();
        if (role == "tool") answer(message);
        JsonValue* calls = role == "assistant" ? find(message, "tool_calls") : nullptr;
        if (calls != nullptr && calls->kind == Kind::array) add_calls(calls->items);
    }

  private:
    struct Call {
        std::string client_id;
        std::string id;
        bool is_answered = false;
    };

    std::string next_id(std::string_view name) {
        return fmt::format("functions.{}:{}", name, n_ids_++);
    }

    void add_calls(std::vector<JsonValue>& calls) {
        const std::size_t first = calls_.size();
        for (JsonValue& call : calls)
            add_call(call);
        // The first call of the latest message is the first to be found.
        for (std::size_t i = calls_.size(); i > first; --i)
            if (!calls_[i - 1].client_id.empty())
                open_of_id_[calls_[i - 1].client_id].push_back(i - 1);
    }

    void add_call(JsonValue& call) {
        drop_if_null(call, "id");
        const JsonValue* function = call.find("function");
        const std::optional<std::string> name =
            function == nullptr ? std::nullopt : text_at(*function, "name");
        if (!name) return;
        calls_.push_back({text_at(call, "id").value_or(""), next_id(*name)});
        set_string(call, "id", calls_.back().id);
    }

    void answer(JsonValue& message) {
        const std::string client_id = text_at(message, "tool_call_id").value_or("");
        if (const std::optional<std::size_t> call = call_answered_by(client_id)) {
            calls_[*call].is_answered = true;
            set_string(message, "tool_call_id", calls_[*call].id);
            if (!client_id.empty() && client_id == calls_[*call].client_id)
                answered_of_id_[client_id] = *call;
        } else if (const std::optional<std::string> name = text_at(message, "name")) {
            set_string(message, "tool_call_id", next_id(*name));
        }
    }

    std::optional<std::size_t> call_answered_by(const std::string& client_id) {
        const auto open = open_of_id_.find(client_id);
        while (open != open_of_id_.end() && !open->second.empty()) {
            const std::size_t call = open->second.back();
            open->second.pop_back();
            if (!calls_[call].is_answered) return call;
        }
        const auto answered = answered_of_id_.find(client_id);
        if (answered != answered_of_id_.end()) return answered->second;
        if (const auto recent = first_unanswered(first_recent_)) return recent;
        return first_unanswered(first_open_);
    }

    // Moves `from` past the answered calls.
    std::optional<std::size_t> first_unanswered(std::size_t& from) const {
        while (from < calls_.size() && calls_[from].is_answered)
            ++from;
        if (from == calls_.size()) return std::nullopt;
        return from;
    }

    std::vector<Call> calls_;
    std::unordered_map<std::string, std::vector<std::size_t>> open_of_id_;
    std::unordered_map<std::string, std::size_t> answered_of_id_;  // by the id of the call
    std::size_t first_recent_ = 0;  // unanswered calls since the last user message start here
    std::size_t first_open_ = 0;    // and those of the whole conversation
    std::size_t n_ids_ = 0;
};

}  // namespace

std::string canonical_tool_ids(const std::string& messages_json) {
    JsonValue messages = parse_json(messages_json, "messages");
    ToolIds ids;
    if (messages.kind == Kind::array)
        for (JsonValue& message : messages.items)
            ids.read(message);
    return dump_json(messages);
}

}  // namespace baltoro
