#pragma once

#include <string>

namespace baltoro {

// An OpenAI-style array of messages with its tool calls' ids rewritten as the model was trained to
// see them: `functions.NAME:IDX`, IDX counted over the whole conversation from 0, whatever the
// client sent. A tool message gets the id of the call that it answers: the latest unanswered one
// with its `tool_call_id` (in the order of the calls where a message repeats an id), else the last
// answered one with it, else the first unanswered call since the last user message, else the first
// of all. A tool message that answers none is counted as a call of its own if it has a `name`, and
// keeps its id otherwise.
// Leaves out `name`, `reasoning_content`, `tool_calls` and ids that are null, which a chat template
// would print as "None". Everything else, the order of keys included, stays. Throws Error as
// parse_json does; what is no list of messages stays for render_chat to refuse.
std::string canonical_tool_ids(const std::string& messages_json);

}  // namespace baltoro
