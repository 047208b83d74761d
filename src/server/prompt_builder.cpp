#include "server/prompt_builder.h"

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "base/error.h"
#include "sampling/token_grammar.h"
#include "text/tool_ids.h"

namespace baltoro::server {
namespace {

// The last message goes on: no end of turn, no new turn.
void open_last_turn(std::vector<PromptPiece>& pieces) {
    if (!pieces.empty() && pieces.back().is_marker && pieces.back().text == "<|im_end|>")
        pieces.pop_back();
}

// The beginning of an answer that has to be a tool call. A model that thinks first is told that it
// has, since a forced call leaves no room for it; a message that goes on has its thoughts behind
// it.
std::vector<PromptPiece> forced_call(const ServedModel& model, const ApiRequest& api) {
    std::vector<PromptPiece> pieces;
    const bool opens = model.chat_format == ChatFormat::k2_thinking && !api.continues_last;
    if (opens) pieces.push_back({"<think>", true});
    if (opens || api.request.format.starts_in_reasoning) pieces.push_back({"</think>", true});
    pieces.push_back({"<|tool_calls_section_begin|>", true});
    pieces.push_back({"<|tool_call_begin|>", true});
    const std::vector<DeclaredTool>& tools = api.request.format.tools;
    const std::string& name =
        api.forced_tool.empty() && tools.size() == 1 ? tools[0].name : api.forced_tool;
    if (name.empty()) {
        pieces.push_back({"functions.", false});
        return pieces;
    }
    pieces.push_back({fmt::format("functions.{}:{}", name, api.n_past_calls), false});
    pieces.push_back({"<|tool_call_argument_begin|>", true});
    return pieces;
}

void check_length(const ServedModel& model, const std::vector<std::int32_t>& prompt) {
    const int context_size = model.limits.context_size;
    if (static_cast<int>(prompt.size()) >= context_size)
        throw PromptTooLong(context_size, static_cast<int>(prompt.size()));
    if (prompt.empty()) refuse("prompt", "prompt is empty");
}

// Figures of every token are held until the reply is written, with what JSON adds to them.
void check_scored(const ApiRequest& api, const std::vector<std::vector<std::int32_t>>& prompts) {
    if (!api.request.scores_prompt) return;
    std::size_t n_tokens = 0;
    for (const std::vector<std::int32_t>& prompt : prompts)
        n_tokens += prompt.size() * static_cast<std::size_t>(api.n);
    if (n_tokens > kMaxScoredTokens)
        refuse("logprobs", fmt::format("logprobs with echo are for prompts of at most {} tokens "
                                       "together",
                                       kMaxScoredTokens));
}

// The parts of an answer's form that depend on the model's template.
void set_format(const ServedModel& model, ApiRequest& api) {
    Request& request = api.request;
    if (request.kind != AnswerKind::chat) return;
    request.format.starts_in_reasoning =
        model.chat_format == ChatFormat::k2_5 && api.thinking && !api.continues_last;
    if (api.calls == ApiRequest::Calls::none) {
        for (const std::string_view marker : kMarkerSpellings) {
            const std::optional<std::int32_t> id = model.tokenizer.special_id(marker);
            if (id && !marker.ends_with("think>")) request.banned_ids.push_back(*id);
        }
    } else if (api.calls == ApiRequest::Calls::required) {
        request.forced = encode_prompt(model.tokenizer, forced_call(model, api));
    }
}

void set_grammar(const ServedModel& model, ApiRequest& api) {
    if (api.response_schema.empty()) return;
    const auto grammar = compile_schema(api.response_schema, model.vocabulary.trie());
    if (!grammar) refuse("response_format", "the schema cannot be followed: " + grammar.error());
    api.request.grammar = *grammar;
}

// Compiling takes time on a thread that serves others, so all schemas together are bounded.
void set_strict_tools(const ServedModel& model, ApiRequest& api) {
    if (api.strict_tools.empty() || api.calls == ApiRequest::Calls::none) return;
    const auto& vocabulary = model.vocabulary.call_trie();
    if (vocabulary == nullptr) return;
    std::size_t n_states = 0;
    for (const DeclaredTool& tool : api.request.format.tools) {
        const auto& names = api.strict_tools;
        if (std::find(names.begin(), names.end(), tool.name) == names.end()) continue;
        const std::string& schema = tool.parameters_json;
        const auto grammar = compile_schema(schema.empty() ? "{}" : schema, vocabulary);
        if (!grammar)
            refuse("tools", fmt::format("tools has a strict function whose schema cannot be "
                                        "followed: {}",
                                        grammar.error()));
        n_states += grammar.value()->grammar().n_states();
        if (n_states > GrammarBuilder::kMaxStates)
            refuse("tools", "tools has strict functions whose schemas are too large together");
        api.request.strict_tools.push_back({tool.name, *grammar});
    }
}

}  // namespace

PromptTooLong::PromptTooLong(int context_size, int prompt_tokens)
    : RequestError(context_overflow(context_size, prompt_tokens)),
      context_size_(context_size),
      prompt_tokens_(prompt_tokens) {}

std::vector<PromptPiece> render_messages(const ServedModel& model, const ApiRequest& api) {
    try {
        const ChatOptions options{!api.continues_last, api.thinking};
        std::vector<PromptPiece> pieces = render_chat(
            model.chat_format, canonical_tool_ids(api.messages_json), api.tools_json, options);
        if (api.continues_last) open_last_turn(pieces);
        return pieces;
    } catch (const Error& error) {
        refuse("messages", error.what());
    }
}

std::vector<std::vector<std::int32_t>> build_prompts(const ServedModel& model,
                                                     const ApiRequest& api) {
    std::vector<std::vector<std::int32_t>> prompts;
    switch (api.input) {
        case ApiRequest::Input::messages:
            prompts.push_back(encode_prompt(model.tokenizer, render_messages(model, api)));
            break;
        case ApiRequest::Input::text:
            for (const std::string& text : api.texts)
                prompts.push_back(model.tokenizer.encode(text));
            break;
        case ApiRequest::Input::tokens:
            prompts = api.tokens;
            break;
    }
    return prompts;
}

std::vector<Request> build_requests(const ServedModel& model, ApiRequest& api) {
    set_format(model, api);
    set_grammar(model, api);
    set_strict_tools(model, api);
    std::vector<std::vector<std::int32_t>> prompts = build_prompts(model, api);
    check_scored(api, prompts);
    std::vector<Request> requests;
    for (std::vector<std::int32_t>& prompt : prompts) {
        check_length(model, prompt);
        for (int k = 0; k < api.n; k++) {
            Request request = api.request;
            request.prompt = prompt;
            // Choices of one prompt differ by their seeds, reproducibly.
            request.sampling.seed += static_cast<std::uint64_t>(k) * 0x9e3779b97f4a7c15u;
            requests.push_back(std::move(request));
        }
    }
    // For writers, which report the prompt's size before the engine has seen it.
    if (!requests.empty()) api.request.prompt = requests[0].prompt;
    return requests;
}

}  // namespace baltoro::server
