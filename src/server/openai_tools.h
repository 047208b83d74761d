#pragma once

#include "server/api_request.h"
#include "server/json_fields.h"

namespace baltoro::server {

// Reads `tools`, `tool_choice` and `parallel_tool_calls` into tools_json, calls, forced_tool and
// the request's format. Tools of other types than function are skipped: Codex and others send some
// that only their vendor's models know. Throws RequestError.
void read_tools(const Fields& body, ApiRequest& request);

}  // namespace baltoro::server
