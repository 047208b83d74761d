#pragma once

#include <algorithm>
#include <string_view>

namespace baltoro::server {

// A tool call's arguments as clients are to see them. Space in front of the JSON says nothing, and
// would keep a call without arguments from being told by its emptiness.
inline std::string_view without_leading_space(std::string_view text) {
    text.remove_prefix(std::min(text.find_first_not_of(" \t\r\n"), text.size()));
    return text;
}

}  // namespace baltoro::server
