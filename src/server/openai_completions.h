#pragma once

#include <string_view>

#include "server/api_request.h"

namespace baltoro::server {

// Most prompts of one request, and most answers (prompts times n).
inline constexpr int kMaxPrompts = 64;

// A request of POST /v1/completions; `texts` or `tokens` holds at least one prompt. Answer
// i x n + k is choice k of prompt i. Throws RequestError (see json_fields.h).
ApiRequest parse_completions_request(std::string_view body, const ApiLimits& limits);

}  // namespace baltoro::server
