#pragma once

#include <string>

#include "server/api_request.h"

namespace baltoro::testing {

// What a small server would refuse and fill in.
inline server::ApiLimits chat_limits() {
    server::ApiLimits limits;
    limits.context_size = 4096;
    limits.vocab_size = 1000;
    limits.served_model = "kimi-k2";
    limits.system_fingerprint = "fp_test";
    return limits;
}

// Fields of a request: its messages, and tools of which two are functions.
inline const std::string kHello = R"("messages": [{"role": "user", "content": "hi"}])";
inline const std::string kTools =
    R"("tools": [{"type": "function", "function": {"name": "read", "parameters": {"type": "object"}}},
                 {"type": "web_search"},
                 {"type": "function", "function": {"name": "write", "description": "Write it",
                                                   "strict": true}}])";

}  // namespace baltoro::testing
