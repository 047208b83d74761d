#include "server/http_types.h"

#include <algorithm>

namespace baltoro::server {
namespace {

char lower(char c) noexcept {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

}  // namespace

bool equal_ignoring_case(std::string_view a, std::string_view b) noexcept {
    return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                      [](char x, char y) { return lower(x) == lower(y); });
}

std::string_view HttpRequest::header(std::string_view name) const noexcept {
    for (const HttpHeader& header : headers) {
        if (equal_ignoring_case(header.name, name)) return header.value;
    }
    return {};
}

std::size_t HttpRequest::n_headers(std::string_view name) const noexcept {
    return std::count_if(headers.begin(), headers.end(), [name](const HttpHeader& header) {
        return equal_ignoring_case(header.name, name);
    });
}

void HttpRequest::drop_body() noexcept {
    std::string().swap(body);  // clear() would keep the memory
    body_share.release();
}

}  // namespace baltoro::server
