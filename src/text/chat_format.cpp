#include <filesystem>
#include <optional>
#include <string>
#include <system_error>

#include "base/error.h"
#include "base/mapped_file.h"
#include "text/chat_template.h"
#include "text/python_json.h"

namespace baltoro {
namespace {

namespace fs = std::filesystem;
using Kind = JsonValue::Kind;

constexpr std::size_t kMaxFileBytes = std::size_t{64} << 20;
constexpr std::string_view kKimiVocabSize = "163840";

std::optional<std::string> read_if_present(const fs::path& path) {
    std::error_code ignored;
    if (!fs::exists(path, ignored)) return std::nullopt;
    return read_small_file(path.string(), kMaxFileBytes);
}

JsonValue read_object(const std::string& text, const fs::path& path) {
    JsonValue value = parse_json(text, path.string());
    if (value.kind != Kind::object) throw Error(path.string() + ": expected a JSON object");
    return value;
}

std::string string_of(const JsonValue* value) {
    return value != nullptr && value->kind == Kind::string ? value->text : std::string();
}

// chat_template is a text, or a list of named ones.
std::string template_of(const JsonValue& config) {
    const JsonValue* value = config.find("chat_template");
    if (value == nullptr || value->kind != Kind::array) return string_of(value);
    for (const JsonValue& entry : value->items)
        if (string_of(entry.find("name")) == "default") return string_of(entry.find("template"));
    return {};
}

std::string template_text(const fs::path& folder) {
    if (const auto text = read_if_present(folder / "chat_template.jinja")) return *text;
    const fs::path path = folder / "tokenizer_config.json";
    const auto config = read_if_present(path);
    return config ? template_of(read_object(*config, path)) : std::string();
}

bool has_kimi_vocabulary(const JsonValue& config) {
    const JsonValue* size = config.find("vocab_size");
    return size != nullptr && size->kind == Kind::number && size->text == kKimiVocabSize;
}

}  // namespace

ChatFormat chat_format_of(const std::string& directory) {
    const fs::path folder(directory);
    const fs::path config_path = folder / "config.json";
    const JsonValue config =
        read_object(read_small_file(config_path.string(), kMaxFileBytes), config_path);
    const std::string model_type = string_of(config.find("model_type"));
    const std::string text = template_text(folder);
    const auto mentions = [&text](std::string_view part) {
        return text.find(part) != std::string::npos;
    };
    // K2-Instruct and K2-Thinking share a model type; what the templates do tells them apart.
    if (mentions("<|kimi_k25_video_placeholder|>")) return ChatFormat::k2_5;
    if (mentions("<think>")) {
        return mentions("thinking is defined") ? ChatFormat::k2_5 : ChatFormat::k2_thinking;
    }
    if (model_type == "kimi_k25") return ChatFormat::k2_5;
    if (mentions("You are Kimi")) return ChatFormat::k2_instruct;
    if (model_type == "deepseek_v3" && has_kimi_vocabulary(config)) return ChatFormat::moonlight;
    return ChatFormat::k2_instruct;
}

}  // namespace baltoro
