#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "server/api_errors.h"
#include "server/http_limits.h"

namespace baltoro::server {

// Reads the head of a request (request line and fields) as it comes in and refuses whatever two
// HTTP implementations could read differently, before Beast's parser sees it. Beast by itself
// takes folded lines, lists and repetitions in Content-Length, unknown transfer codings (which it
// reads as "no body"), absolute and empty targets and requests without Host. One coroutine.
class RequestHead {
  public:
    enum class State : std::uint8_t { incomplete, complete, refused };

    explicit RequestHead(const HttpLimits& limits) noexcept : limits_(limits) {}

    // `bytes` starts with the request's first byte; what an earlier call has seen is unchanged.
    State feed(std::string_view bytes);

    // Bytes of the head and its empty line, once complete.
    std::size_t size() const noexcept { return at_; }
    // An empty line before the request line, which is allowed and which Beast does not know.
    std::size_t n_skipped() const noexcept { return n_skipped_; }
    // Why it is refused.
    const ApiError& error() const noexcept { return error_; }

  private:
    State read_lines(std::string_view bytes);
    State check_incomplete(std::string_view bytes);
    State read_line(std::string_view line);
    State read_request_line(std::string_view line);
    State read_field(std::string_view line);
    State note_field(std::string_view name, std::string_view value);
    State finish();
    State check_transfer_coding();
    State refuse(int status, const char* message);

    const HttpLimits& limits_;
    std::size_t at_ = 0;  // start of the first line that is not read
    std::size_t n_skipped_ = 0;
    std::size_t n_fields_ = 0;
    bool has_request_line_ = false;
    bool is_http_10_ = false;
    int n_hosts_ = 0;
    int n_lengths_ = 0;
    int n_codings_ = 0;
    int n_chunked_ = 0;
    bool has_unknown_coding_ = false;
    ApiError error_;
};

}  // namespace baltoro::server
