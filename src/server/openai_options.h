#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "server/api_request.h"
#include "server/json_fields.h"

namespace baltoro::server {

// Most choices of one prompt. An unbounded `n` has taken servers down before admission control saw
// the request (CVE-2026-34756).
inline constexpr int kMaxChoices = 8;

// Reads the fields that chat completions and completions share: model, stream, how tokens are drawn
// and when the answer ends; `fewest_tokens` is the lowest limit that may be asked for, and a limit
// of 0 makes the request one of its prompt only. Throws RequestError.
void read_openai_options(const Fields& body,
                         const ApiLimits& limits,
                         ApiRequest& request,
                         int fewest_tokens = 1);

// Parts of it that other dialects share: the model's name; texts that end the answer, under a key
// of the dialect's own (a string or an array of strings); a number of tokens of at least `fewest`,
// cut to the context, since agents ask for the whole window on every turn and give up if that is
// refused; a seed where the request has none.
void read_model(const Fields& body, const ApiLimits& limits, ApiRequest& request);
void read_stop_texts(const Fields& body, std::string_view key, Request& request);
std::optional<int> read_token_limit(const Fields& body,
                                    std::string_view key,
                                    const ApiLimits& limits,
                                    int fewest = 1);
std::uint64_t random_seed();

}  // namespace baltoro::server
