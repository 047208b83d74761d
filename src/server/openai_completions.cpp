#include "server/openai_completions.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "server/json_fields.h"
#include "server/openai_options.h"

namespace baltoro::server {
namespace {

constexpr int kDefaultMaxTokens = 16;

using Input = ApiRequest::Input;

std::string prompt_text(const Field& prompt) {
    if (prompt.string().empty()) prompt.refuse("must not be empty");
    return prompt.string();
}

// Checked before anything is built: a list can be as long as the body.
std::vector<std::int32_t> prompt_ids(const Field& prompt, const ApiLimits& limits) {
    const Json& list = prompt.json();
    if (list.empty()) prompt.refuse("must not be empty");
    const std::size_t n_tokens = list.size();
    if (limits.context_size > 0 && n_tokens > static_cast<std::size_t>(limits.context_size)) {
        ApiError error = context_overflow(limits.context_size, static_cast<int>(n_tokens));
        error.param = prompt.path();
        throw RequestError(std::move(error));
    }
    std::vector<std::int32_t> ids;
    ids.reserve(n_tokens);
    for (const Json& item : list) {
        // Names the list, not the item: a name for each would cost more than the ids.
        const Field id(item, prompt.path());
        ids.push_back(static_cast<std::int32_t>(id.integer(0, limits.vocab_size - 1)));
    }
    return ids;
}

void read_prompt_list(const Field& prompt, const ApiLimits& limits, ApiRequest& request) {
    const Json& list = prompt.json();
    if (list.empty()) prompt.refuse("must not be empty");
    if (list[0].is_number()) {
        request.input = Input::tokens;
        request.tokens.push_back(prompt_ids(prompt, limits));
        return;
    }
    request.input = list[0].is_array() ? Input::tokens : Input::text;
    for (const Field& item : prompt.array(kMaxPrompts)) {
        if (request.input == Input::text) {
            request.texts.push_back(prompt_text(item));
        } else {
            if (!item.is_array()) item.refuse("must be an array of token ids");
            request.tokens.push_back(prompt_ids(item, limits));
        }
    }
}

void read_prompt(const Fields& body, const ApiLimits& limits, ApiRequest& request) {
    const Field prompt = body.require("prompt");
    if (prompt.is_array()) return read_prompt_list(prompt, limits, request);
    if (!prompt.is_string()) prompt.refuse("must be a string or an array");
    request.input = Input::text;
    request.texts.push_back(prompt_text(prompt));
}

void check_fan_out(const Fields& body, const ApiRequest& request) {
    const std::size_t n_prompts = std::max(request.texts.size(), request.tokens.size());
    if (n_prompts * static_cast<std::size_t>(request.n) > kMaxPrompts)
        refuse("n", fmt::format("n times the number of prompts must be at most {}", kMaxPrompts));
    const std::int64_t best_of = body.integer("best_of", 1, kMaxChoices).value_or(request.n);
    if (best_of != request.n) refuse("best_of", "best_of must be the same as n");
}

}  // namespace

ApiRequest parse_completions_request(std::string_view text, const ApiLimits& limits) {
    const Json tree = require_body(text);
    const Fields body(tree);
    ApiRequest request;
    request.echo = body.boolean("echo").value_or(false);
    read_openai_options(body, limits, request, request.echo ? 0 : 1);
    if (request.request.max_tokens == 0) request.request.max_tokens = kDefaultMaxTokens;
    read_prompt(body, limits, request);
    check_fan_out(body, request);
    request.request.n_top_logprobs = static_cast<int>(body.integer("logprobs", 0, 5).value_or(-1));
    request.request.scores_prompt = request.echo && request.request.n_top_logprobs >= 0;
    if (const std::string* suffix = body.string("suffix"); suffix != nullptr && !suffix->empty())
        refuse("suffix", "suffix is not supported: this model does not fill in");
    request.request.kind = AnswerKind::text;
    return request;
}

}  // namespace baltoro::server
