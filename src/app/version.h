#pragma once

#include <string>

namespace baltoro {

// "baltoro 0.1.0 (commit abc123), compiled for scalar avx2 ...": the text of --version.
std::string version_text();

// The commit alone: "abc123".
std::string commit_text();

}  // namespace baltoro
