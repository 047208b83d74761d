#pragma once

#include <string_view>

#include "server/api_request.h"

namespace baltoro::server {

// A request of POST /v1/chat/completions. Unknown fields are ignored. Throws RequestError (see
// json_fields.h) naming the field that is refused.
ApiRequest parse_chat_request(std::string_view body, const ApiLimits& limits);

}  // namespace baltoro::server
