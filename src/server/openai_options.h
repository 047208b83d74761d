#pragma once

#include "server/api_request.h"
#include "server/json_fields.h"

namespace baltoro::server {

// Most choices of one prompt. An unbounded `n` has taken servers down before admission control saw
// the request (CVE-2026-34756).
inline constexpr int kMaxChoices = 8;

// Reads the fields that chat completions and completions share: model, stream, how tokens are drawn
// and when the answer ends. Throws RequestError.
void read_openai_options(const Fields& body, const ApiLimits& limits, ApiRequest& request);

}  // namespace baltoro::server
