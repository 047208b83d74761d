#pragma once

#include <random>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "engine/answer_stream.h"

namespace baltoro::server {

using Json = nlohmann::ordered_json;

// The data of every event of an SSE text. Throws unless each is "event: T\ndata: {...}\n\n" with
// type T inside as well.
inline std::vector<Json> events_of(const std::string& sse) {
    std::vector<Json> events;
    for (std::size_t begin = 0; begin < sse.size();) {
        const std::size_t line = sse.find('\n', begin);
        const std::size_t end = sse.find("\n\n", begin);
        if (end == std::string::npos || line == end) throw std::runtime_error("no whole event");
        const std::string type = sse.substr(begin, line - begin);
        const std::string data = sse.substr(line + 1, end - line - 1);
        if (!data.starts_with("data: ")) throw std::runtime_error("no data line");
        events.push_back(Json::parse(data.substr(6)));
        if (type != "event: " + events.back().at("type").get<std::string>()) {
            throw std::runtime_error("the event's name is not its type");
        }
        begin = end + 2;
    }
    return events;
}

inline std::vector<std::string> types_of(const std::string& sse) {
    std::vector<std::string> types;
    for (const Json& event : events_of(sse))
        types.push_back(event.at("type"));
    return types;
}

inline AnswerPart content_part(std::string text) {
    return {.kind = AnswerPart::Kind::content, .text = std::move(text)};
}

inline AnswerPart reasoning_part(std::string text) {
    return {.kind = AnswerPart::Kind::reasoning, .text = std::move(text)};
}

// A whole call; `arguments` is left out if empty.
inline std::vector<AnswerPart> call_parts(int call_idx,
                                          std::string name,
                                          std::string arguments,
                                          bool is_complete = true) {
    const std::string id = "functions." + name + ":" + std::to_string(call_idx);
    std::vector<AnswerPart> parts = {{.kind = AnswerPart::Kind::call_begin,
                                      .text = id,
                                      .name = std::move(name),
                                      .call_idx = call_idx}};
    if (!arguments.empty()) {
        parts.push_back({.kind = AnswerPart::Kind::call_arguments,
                         .text = std::move(arguments),
                         .call_idx = call_idx});
    }
    parts.push_back(
        {.kind = AnswerPart::Kind::call_end, .call_idx = call_idx, .is_complete = is_complete});
    return parts;
}

inline AnswerEvents events_with(std::vector<AnswerPart> parts) {
    AnswerEvents events;
    events.parts = std::move(parts);
    return events;
}

inline AnswerEvents finished(FinishReason reason, std::vector<AnswerPart> parts = {}) {
    AnswerEvents events = events_with(std::move(parts));
    events.is_finished = true;
    events.reason = reason;
    events.usage.prompt_tokens = 100;
    events.usage.cached_tokens = 60;
    events.usage.completion_tokens = 7;
    events.usage.reasoning_tokens = 2;
    return events;
}

// The same answer cut differently: ASCII texts in pieces of 1 to 4 bytes.
inline std::vector<AnswerPart> cut(const std::vector<AnswerPart>& parts, std::mt19937& random) {
    std::vector<AnswerPart> pieces;
    for (const AnswerPart& part : parts) {
        const bool is_text = part.kind == AnswerPart::Kind::content ||
                             part.kind == AnswerPart::Kind::reasoning ||
                             part.kind == AnswerPart::Kind::call_arguments;
        if (!is_text) {
            pieces.push_back(part);
            continue;
        }
        for (std::size_t i = 0; i < part.text.size();) {
            AnswerPart piece = part;
            piece.text = part.text.substr(i, 1 + random() % 4);
            i += piece.text.size();
            pieces.push_back(std::move(piece));
        }
    }
    return pieces;
}

inline std::vector<AnswerPart> long_answer() {
    std::vector<AnswerPart> parts = {reasoning_part("First I look."), content_part("Looking now.")};
    for (const auto& call : {call_parts(0, "Bash", R"( {"command": "ls -l", "n": [1, 2.5]})"),
                             call_parts(1, "pwd", ""), call_parts(2, "Read", R"({"path":"a"})")}) {
        parts.insert(parts.end(), call.begin(), call.end());
    }
    return parts;
}

}  // namespace baltoro::server
