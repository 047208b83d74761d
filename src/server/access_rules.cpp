#include "server/access_rules.h"

#include <algorithm>
#include <array>

namespace baltoro::server {
namespace {

// "host:port" or "[v6]:port", the port optional; brackets stay on the host.
struct Authority {
    std::string_view host;
    std::string_view port;
};

bool is_port(std::string_view text) noexcept {
    return !text.empty() && text.size() <= 5 &&
           std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

std::optional<Authority> split_authority(std::string_view text) {
    std::size_t end = 0;
    if (!text.empty() && text.front() == '[') {
        end = text.find(']');
        if (end == std::string_view::npos) return std::nullopt;
        ++end;
    } else {
        end = std::min(text.find(':'), text.size());
    }
    Authority authority{text.substr(0, end), {}};
    if (end == text.size()) return authority;
    authority.port = text.substr(end + 1);
    if (text[end] != ':' || !is_port(authority.port)) return std::nullopt;
    return authority;
}

bool is_loopback(std::string_view host) noexcept {
    constexpr std::array<std::string_view, 3> kLoopback = {"localhost", "127.0.0.1", "[::1]"};
    return std::any_of(kLoopback.begin(), kLoopback.end(),
                       [host](std::string_view known) { return equal_ignoring_case(host, known); });
}

// Web pages can name these, and they reach loopback.
bool is_wildcard(std::string_view host) noexcept {
    return host == "0.0.0.0" || host == "::" || host == "[::]";
}

// Equal as hosts; an IPv6 address may be known without its brackets.
bool same_host(std::string_view host, std::string_view known) noexcept {
    if (known.empty()) return false;
    if (equal_ignoring_case(host, known)) return true;
    return host.size() == known.size() + 2 && host.front() == '[' &&
           equal_ignoring_case(host.substr(1, known.size()), known);
}

// The time depends on the length of `given` only, not on where it differs from `key`. An empty
// key opens nothing.
bool equal_in_constant_time(std::string_view given, std::string_view key) noexcept {
    if (key.empty()) return false;
    unsigned difference = given.size() == key.size() ? 0 : 1;
    for (std::size_t i = 0; i < given.size(); ++i) {
        difference |= static_cast<unsigned char>(given[i] ^ key[i % key.size()]);
    }
    return difference == 0;
}

// A media type "application/json" with any parameters.
bool is_json(std::string_view content_type) noexcept {
    std::string_view type = content_type.substr(0, content_type.find(';'));
    while (!type.empty() && (type.back() == ' ' || type.back() == '\t'))
        type.remove_suffix(1);
    return equal_ignoring_case(type, "application/json");
}

bool needs_no_key(std::string_view path) noexcept {
    return path == "/" || path == "/health" || path == "/healthz" || path == "/readyz";
}

std::string_view bearer(std::string_view authorization) noexcept {
    constexpr std::string_view kScheme = "Bearer ";
    if (!equal_ignoring_case(authorization.substr(0, kScheme.size()), kScheme)) return {};
    authorization.remove_prefix(kScheme.size());
    while (!authorization.empty() && authorization.front() == ' ')
        authorization.remove_prefix(1);
    return authorization;
}

ApiError refused(int status, std::string type, std::string code, std::string message) {
    ApiError error;
    error.status = status;
    error.type = std::move(type);
    error.code = std::move(code);
    error.message = std::move(message);
    return error;
}

}  // namespace

void AccessRules::listen_on(std::string host, int port) {
    bind_host_ = is_wildcard(host) ? std::string() : std::move(host);
    port_ = port;
}

std::optional<ApiError> AccessRules::refusal(const HttpRequest& request) const {
    if (!is_known_host(request)) {
        return refused(403, "permission_error", "host_not_allowed",
                       "The Host header names a host that this server does not answer for; "
                       "start it with --allowed-host NAME to allow it.");
    }
    const std::size_t n_origins = request.n_headers("Origin");
    if (n_origins > 1 || (n_origins == 1 && !is_own_origin(request.header("Origin")))) {
        return refused(403, "permission_error", "origin_not_allowed",
                       "Requests from web pages of this origin are not allowed.");
    }
    if (!options_.api_keys.empty() && !needs_no_key(request.path) && !has_key(request)) {
        return refused(401, "authentication_error", "invalid_api_key",
                       "The API key is missing or wrong; send Authorization: Bearer KEY or "
                       "x-api-key: KEY.");
    }
    const bool posts_json =
        request.n_headers("Content-Type") == 1 && is_json(request.header("Content-Type"));
    if (request.method == "POST" && request.has_body && !posts_json) {
        return refused(415, "invalid_request_error", "unsupported_media_type",
                       "The body needs Content-Type: application/json.");
    }
    return std::nullopt;
}

bool AccessRules::is_known_host(const HttpRequest& request) const {
    if (request.over_unix) return true;  // no browser gets there
    const std::optional<Authority> authority = split_authority(request.header("Host"));
    if (!authority || authority->host.empty()) return false;
    const std::string_view host = authority->host;
    if (is_loopback(host) || same_host(host, bind_host_)) return true;
    // The very address that the client connected to: rebinding needs a name, and a server that
    // listens on all addresses cannot list them.
    if (same_host(host, request.local_host)) return true;
    return std::any_of(options_.allowed_hosts.begin(), options_.allowed_hosts.end(),
                       [&](const std::string& allowed) {
                           return same_host(host, allowed) ||
                                  equal_ignoring_case(request.header("Host"), allowed);
                       });
}

bool AccessRules::is_own_origin(std::string_view origin) const {
    const auto is_this = [origin](const std::string& allowed) {
        return equal_ignoring_case(origin, allowed);
    };
    const auto& allowed = options_.allowed_origins;
    if (std::any_of(allowed.begin(), allowed.end(), is_this)) return true;
    constexpr std::string_view kScheme = "http://";
    if (port_ == 0 || !equal_ignoring_case(origin.substr(0, kScheme.size()), kScheme)) return false;
    const std::optional<Authority> authority = split_authority(origin.substr(kScheme.size()));
    if (!authority || !is_loopback(authority->host)) return false;
    const std::string_view port = authority->port.empty() ? "80" : authority->port;
    return port == std::to_string(port_);
}

// Looks at every key, so that the time does not tell which one is near.
bool AccessRules::has_key(const HttpRequest& request) const {
    const std::string_view from_bearer = bearer(request.header("Authorization"));
    const std::string_view from_header = request.header("x-api-key");
    bool found = false;
    for (const std::string& key : options_.api_keys) {
        found |= equal_in_constant_time(from_bearer, key);
        found |= equal_in_constant_time(from_header, key);
    }
    return found;
}

}  // namespace baltoro::server
