#include "app/token_file.h"

#include <limits>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/mapped_file.h"

namespace baltoro {

std::vector<std::int32_t> read_token_file(const std::string& path) {
    constexpr std::size_t kMaxBytes = std::size_t{1} << 28;
    const nlohmann::json list =
        nlohmann::json::parse(read_small_file(path, kMaxBytes), nullptr, false);
    if (list.is_discarded())
        throw Error(path + ": not valid JSON; expected a JSON list of token ids");
    if (!list.is_array()) throw Error(path + ": expected a JSON list of token ids");
    std::vector<std::int32_t> ids;
    ids.reserve(list.size());
    for (std::size_t i = 0; i < list.size(); i++) {
        const bool fits = list[i].is_number_integer() && list[i].get<std::int64_t>() >= 0 &&
                          list[i].get<std::int64_t>() <= std::numeric_limits<std::int32_t>::max();
        if (!fits)
            throw Error(fmt::format("{}: expected a token id at index {}, found {}", path, i,
                                    list[i].is_number() ? list[i].dump() : list[i].type_name()));
        ids.push_back(list[i].get<std::int32_t>());
    }
    return ids;
}

}  // namespace baltoro
