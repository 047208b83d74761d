#pragma once

#include <string_view>

#include "server/api_request.h"

namespace baltoro::server {

// A request of POST /v1/messages, in the internal form: messages as the chat template takes them.
// Unknown fields and block types are ignored. Throws RequestError naming the field that is refused.
ApiRequest parse_messages_request(std::string_view body, const ApiLimits& limits);

// A request of POST /v1/messages/count_tokens: the same without limits and sampling.
ApiRequest parse_count_tokens_request(std::string_view body, const ApiLimits& limits);

}  // namespace baltoro::server
