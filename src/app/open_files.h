#pragma once

#include <cstddef>

namespace baltoro {

// Lets this process have as many open files as it may: the soft limit becomes the hard one. How
// many that are. Before other threads start.
std::size_t raise_open_file_limit() noexcept;

// The connections, of `n_wanted`, that so many open files allow beside the program's other files;
// at least one.
std::size_t connections_within(std::size_t n_files, std::size_t n_wanted) noexcept;

}  // namespace baltoro
