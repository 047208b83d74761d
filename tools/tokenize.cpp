#include <charconv>
#include <cstdio>
#include <iostream>
#include <iterator>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "base/error.h"
#include "text/tokenizer.h"
#include "tools/commands.h"

namespace baltoro {
namespace {

// "1,2,3" (spaces allowed) as ids.
std::vector<std::int32_t> parse_ids(const std::string& list) {
    std::vector<std::int32_t> ids;
    const char* at = list.data();
    const char* end = at + list.size();
    while (true) {
        while (at < end && *at == ' ')
            at++;
        std::int32_t id = 0;
        const auto [next, error] = std::from_chars(at, end, id);
        if (error != std::errc())
            throw Error(fmt::format("--ids: expected a number at \"{}\"", std::string(at, end)));
        ids.push_back(id);
        at = next;
        while (at < end && *at == ' ')
            at++;
        if (at == end) return ids;
        if (*at++ != ',')
            throw Error(
                fmt::format("--ids: expected a comma before \"{}\"", std::string(at - 1, end)));
    }
}

}  // namespace

int run_command(const TokenizeCommand& command) {
    const Tokenizer tokenizer = Tokenizer::from_directory(command.model_dir);
    if (command.ids) {
        const std::string text = tokenizer.decode(parse_ids(*command.ids));
        std::fwrite(text.data(), 1, text.size(), stdout);
        std::fputc('\n', stdout);
        return 0;
    }
    const std::string text = command.text ? *command.text
                                          : std::string(std::istreambuf_iterator<char>(std::cin),
                                                        std::istreambuf_iterator<char>());
    const std::vector<std::int32_t> ids =
        command.special ? tokenizer.encode_with_special(text) : tokenizer.encode(text);
    for (std::size_t i = 0; i < ids.size(); i++)
        fmt::print("{}{}", i == 0 ? "" : ",", ids[i]);
    fmt::print("\n");
    return 0;
}

}  // namespace baltoro
