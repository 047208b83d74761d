#pragma once

#include <string_view>

#include "server/api_request.h"

namespace baltoro::server {

// A request of POST /v1/responses, in the internal form. Stateless: what refers to an earlier
// response is refused. Items and tools of other kinds are ignored. Throws RequestError.
ApiRequest parse_responses_request(std::string_view body, const ApiLimits& limits);

}  // namespace baltoro::server
