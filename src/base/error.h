#pragma once

#include <stdexcept>
#include <string>
#include <string_view>

namespace baltoro {

// A failure of the world: a file, a device, memory, a configuration. The message says what was
// attempted, on what, what was found and what to do. Caught in `main`, at the engine's per-request
// boundary and in the HTTP session; nowhere else.
class Error : public std::runtime_error {
  public:
    using std::runtime_error::runtime_error;
};

// Error with "CONTEXT: " in front of the message of `inner`; for adding context on the way up.
Error with_context(std::string_view context, const Error& inner);

// Error ending in the text and number of `error_number` (an errno value).
Error system_error(std::string_view what, int error_number);

}  // namespace baltoro
