#include <algorithm>
#include <cstdio>
#include <iostream>
#include <iterator>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "base/error.h"
#include "base/mapped_file.h"
#include "text/answer_parser.h"
#include "text/chat_template.h"
#include "text/python_json.h"
#include "text/tokenizer.h"
#include "tools/commands.h"

namespace baltoro {
namespace {

using Kind = JsonValue::Kind;

struct Spelling {
    std::string text;
    Marker marker;
};

// The parser's own markers, whether the checkpoint registers them or not, and all other special
// tokens of the checkpoint.
std::vector<Spelling> spellings_of(const Tokenizer& tokenizer) {
    std::vector<Spelling> spellings;
    for (const std::string_view text : kMarkerSpellings)
        spellings.push_back({std::string(text), *marker_spelled(text)});
    for (std::int32_t id = 0; id < tokenizer.vocab_size(); ++id)
        if (marker_of(tokenizer, id) == Marker::other)
            spellings.push_back({std::string(tokenizer.token_bytes(id)), Marker::other});
    return spellings;
}

// Feeds a parser with text in which spellings of markers are markers, over the borders of chunks
// too: the end of a chunk that may become a marker waits for the next one.
class SpelledAnswer {
  public:
    SpelledAnswer(AnswerParser& parser, std::vector<Spelling> spellings)
        : parser_(parser), spellings_(std::move(spellings)) {
        for (const Spelling& spelling : spellings_)
            if (first_bytes_.find(spelling.text[0]) == std::string::npos)
                first_bytes_ += spelling.text[0];
    }

    void push(std::string_view chunk, std::vector<AnswerPart>& parts) {
        pending_.append(chunk);
        const std::string_view text = pending_;
        std::size_t done = 0;
        std::size_t at = text.find_first_of(first_bytes_);
        while (at != std::string_view::npos && !may_grow(text.substr(at))) {
            std::size_t next = at + 1;
            if (const Spelling* spelling = spelling_at(text.substr(at))) {
                parser_.push_text(text.substr(done, at - done), parts);
                parser_.push_marker(spelling->marker, parts);
                next = done = at + spelling->text.size();
            }
            at = text.find_first_of(first_bytes_, next);
        }
        const std::size_t kept = std::min(at, text.size());
        parser_.push_text(text.substr(done, kept - done), parts);
        pending_.erase(0, kept);
    }

    void finish(std::vector<AnswerPart>& parts) {
        parser_.push_text(pending_, parts);
        parser_.finish(parts);
    }

  private:
    const Spelling* spelling_at(std::string_view text) const {
        for (const Spelling& spelling : spellings_)
            if (text.starts_with(spelling.text)) return &spelling;
        return nullptr;
    }

    // Whether more text could make this the start of a marker.
    bool may_grow(std::string_view text) const {
        for (const Spelling& spelling : spellings_)
            if (text.size() < spelling.text.size() && spelling.text.starts_with(text)) return true;
        return false;
    }

    AnswerParser& parser_;
    std::vector<Spelling> spellings_;
    std::string first_bytes_;
    std::string pending_;
};

JsonValue string_value(std::string text) {
    return {.kind = Kind::string, .text = std::move(text)};
}

std::vector<std::string> read_chunks() {
    const std::string text{std::istreambuf_iterator<char>(std::cin),
                           std::istreambuf_iterator<char>()};
    JsonValue list = parse_json(text, "standard input");
    if (list.kind != Kind::array)
        throw Error("standard input: expected a JSON list of strings, the chunks of an answer");
    std::vector<std::string> chunks;
    for (JsonValue& chunk : list.items) {
        if (chunk.kind != Kind::string)
            throw Error(fmt::format("standard input[{}]: expected a string", chunks.size()));
        chunks.push_back(std::move(chunk.text));
    }
    return chunks;
}

// The schema of a declaration's `parameters`, or of the short form {name, required, properties}, in
// which properties may be a list of names.
JsonValue schema_of(const JsonValue& function, const std::string& place) {
    const JsonValue* parameters = function.find("parameters");
    if (parameters != nullptr && parameters->kind != Kind::null) {
        if (parameters->kind != Kind::object)
            throw Error(place + ".parameters: expected an object");
        return *parameters;
    }
    JsonValue schema{.kind = Kind::object};
    for (const char* key : {"required", "properties"}) {
        const JsonValue* value = function.find(key);
        if (value == nullptr) continue;
        schema.keys.emplace_back(key);
        schema.items.push_back(*value);
        if (schema.keys.back() == "required" || value->kind != Kind::array) continue;
        JsonValue properties{.kind = Kind::object};
        for (const JsonValue& name : value->items) {
            if (name.kind != Kind::string)
                throw Error(place + ".properties: expected an object or a list of names");
            properties.keys.push_back(name.text);
            properties.items.push_back({.kind = Kind::object});
        }
        schema.items.back() = std::move(properties);
    }
    return schema;
}

DeclaredTool declared_tool(const JsonValue& tool, std::string place) {
    if (tool.kind != Kind::object) throw Error(place + ": expected an object");
    const JsonValue* function = tool.find("function");
    if (function != nullptr) {
        place += ".function";
        if (function->kind != Kind::object) throw Error(place + ": expected an object");
    } else {
        function = &tool;
    }
    const JsonValue* name = function->find("name");
    if (name == nullptr || name->kind != Kind::string || name->text.empty())
        throw Error(place + ".name: expected the function's name");
    return {name->text, dump_json(schema_of(*function, place))};
}

std::vector<DeclaredTool> read_tools(const std::string& path) {
    if (path.empty()) return {};
    const JsonValue list = parse_json(read_small_file(path, std::size_t{1} << 28), path);
    if (list.kind != Kind::array) throw Error(path + ": expected a JSON list of tool declarations");
    std::vector<DeclaredTool> tools;
    for (const JsonValue& tool : list.items)
        tools.push_back(declared_tool(tool, fmt::format("{}[{}]", path, tools.size())));
    return tools;
}

JsonValue parsed_answer(const std::vector<AnswerPart>& parts) {
    std::string content;
    std::string reasoning;
    JsonValue calls{.kind = Kind::array};
    for (const AnswerPart& part : parts) {
        if (part.kind == AnswerPart::Kind::content) content += part.text;
        if (part.kind == AnswerPart::Kind::reasoning) reasoning += part.text;
        if (part.kind == AnswerPart::Kind::call_begin)
            calls.items.push_back(
                {.kind = Kind::object,
                 .items = {string_value(part.text), string_value(part.name), string_value("")},
                 .keys = {"id", "name", "arguments"}});
        if (part.kind == AnswerPart::Kind::call_arguments)
            calls.items.back().items.back().text += part.text;
    }
    return {.kind = Kind::object,
            .items = {string_value(std::move(content)),
                      reasoning.empty() ? JsonValue{} : string_value(std::move(reasoning)),
                      std::move(calls)},
            .keys = {"content", "reasoning", "calls"}};
}

}  // namespace

int run_command(const ParseCommand& command) {
    const Tokenizer tokenizer = Tokenizer::from_directory(command.model_dir);
    AnswerFormat format{.tools = read_tools(command.tools_file), .has_reasoning = true};
    // K2.5's prompt opens the reasoning, the other models write <think> themselves.
    format.starts_in_reasoning =
        command.thinking && chat_format_of(command.model_dir) == ChatFormat::k2_5;
    AnswerParser parser(std::move(format));
    SpelledAnswer answer(parser, spellings_of(tokenizer));
    std::vector<AnswerPart> parts;
    for (const std::string& chunk : read_chunks())
        answer.push(chunk, parts);
    answer.finish(parts);
    fmt::print("{}\n", dump_json(parsed_answer(parts)));
    return 0;
}

}  // namespace baltoro
