#pragma once

#include <cstdint>

#include "server/api_request.h"
#include "server/json_fields.h"

namespace baltoro::server {

// How a dialect writes a function: as chat completions do, in an object named "function" (or
// "allowed_tools") beside the type, or as responses do, with its fields beside the type.
enum class ToolShape : std::uint8_t { nested, flat };

// Reads `tools`, `tool_choice` and `parallel_tool_calls` into tools_json, calls, forced_tool and
// the request's format. Tools of other types than function are skipped: Codex and others send some
// that only their vendor's models know. Throws RequestError.
void read_tools(const Fields& body, ToolShape shape, ApiRequest& request);

}  // namespace baltoro::server
