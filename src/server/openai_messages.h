#pragma once

#include "server/api_request.h"
#include "server/json_fields.h"

namespace baltoro::server {

// Reads `messages` into messages_json, continues_last and n_past_calls. What clients spell in many
// ways comes out in one, since every difference would cost the prefix cache its match: content is a
// string, empty if there is none; roles are system, user, assistant and tool; unknown keys are
// gone. Tool call ids stay as they are. Throws RequestError.
void read_messages(const Fields& body, const ApiLimits& limits, ApiRequest& request);

}  // namespace baltoro::server
