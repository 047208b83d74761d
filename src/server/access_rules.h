#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "server/api_errors.h"
#include "server/http_types.h"

namespace baltoro::server {

struct AccessOptions {
    std::vector<std::string> allowed_hosts;    // beside loopback and the address listened on
    std::vector<std::string> allowed_origins;  // "https://ui.example:8443", as browsers send them
    std::vector<std::string> api_keys;         // none: no key is asked for
};

// Who may use the server. Web pages are kept out by Host (DNS rebinding sends a foreign name),
// Origin and the media type (pages may post other types without asking); other programs by keys.
// There are no CORS headers. Immutable after listen_on(); any thread.
class AccessRules {
  public:
    explicit AccessRules(AccessOptions options) : options_(std::move(options)) {}

    // The address that the server was told to listen on, and the port it got.
    void listen_on(std::string host, int port);

    // Why the request is refused, if it is; looks at its head only.
    std::optional<ApiError> refusal(const HttpRequest& request) const;

  private:
    bool is_known_host(const HttpRequest& request) const;
    bool is_own_origin(std::string_view origin) const;
    bool has_key(const HttpRequest& request) const;

    AccessOptions options_;
    std::string bind_host_;
    int port_ = 0;
};

}  // namespace baltoro::server
