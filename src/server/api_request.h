#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/request.h"

namespace baltoro::server {

// What every dialect's request becomes before it is rendered and submitted.
struct ApiRequest {
    enum class Input : std::uint8_t { messages, text, tokens };
    Input input = Input::messages;
    std::string messages_json;  // OpenAI-style array fit for render_chat: ids canonical, no nulls
    std::string tools_json;     // OpenAI-style array, or empty
    std::vector<std::string> texts;                 // completions: one answer each
    std::vector<std::vector<std::int32_t>> tokens;  // completions with token ids

    bool thinking = true;         // template flag of variants that have one
    bool continues_last = false;  // the last message is the beginning of the answer
    int n_past_calls = 0;  // tool calls in the messages; the answer's ids count on from there
    enum class Calls : std::uint8_t { automatic, none, required };
    Calls calls = Calls::automatic;
    std::string forced_tool;                // with required: the one to call, or empty for any
    std::vector<std::string> strict_tools;  // names; their calls must follow the tools' schemas
    std::string response_schema;  // JSON schema that the content must follow; "{}": any object

    // Sampling, limits, stop and format; prompt and forced are empty. format.tools are those that
    // may be called, which can be fewer than tools_json shows to the model.
    Request request;

    std::string model;  // as asked for, echoed
    std::string system_fingerprint;
    bool stream = false;
    bool include_usage = false;
    bool echo = false;  // completions
    int n = 1;          // answers per prompt
};

// Limits and defaults that parsing needs.
struct ApiLimits {
    int context_size = 0;
    int vocab_size = 0;
    double temperature = 0.6;
    double top_p = 1.0;
    int top_k = 0;
    bool has_reasoning = false;      // the model thinks
    std::string served_model;        // the name that /v1/models gives
    bool strict_model = false;       // other names are refused
    std::string system_fingerprint;  // of build and model; may be empty
};

}  // namespace baltoro::server
