#include "base/error.h"

#include <cstring>

namespace baltoro {

Error with_context(std::string_view context, const Error& inner) {
    return Error(std::string(context) + ": " + inner.what());
}

Error system_error(std::string_view what, int error_number) {
    return Error(std::string(what) + ": " + std::strerror(error_number) + " (errno " +
                 std::to_string(error_number) + ")");
}

}  // namespace baltoro
