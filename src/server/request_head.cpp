#include "server/request_head.h"

#include <algorithm>

#include "server/http_types.h"

namespace baltoro::server {
namespace {

constexpr std::string_view kBlanks = " \t";

bool is_token_char(char c) noexcept {
    constexpr std::string_view kOthers = "!#$%&'*+-.^_`|~";
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           kOthers.find(c) != std::string_view::npos;
}

bool is_token(std::string_view text) noexcept {
    return !text.empty() && std::all_of(text.begin(), text.end(), is_token_char);
}

bool is_target_char(char c) noexcept {
    return c > ' ' && c < 0x7f && c != '#';
}

bool is_value_char(char c) noexcept {
    const auto byte = static_cast<unsigned char>(c);
    return byte == '\t' || (byte >= 0x20 && byte != 0x7f);
}

std::string_view trimmed(std::string_view text) noexcept {
    const std::size_t first = text.find_first_not_of(kBlanks);
    if (first == std::string_view::npos) return {};
    return text.substr(first, text.find_last_not_of(kBlanks) - first + 1);
}

// At most 18 digits, so that no reader of the number can overflow.
bool is_length(std::string_view text) noexcept {
    return !text.empty() && text.size() <= 18 &&
           std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

}  // namespace

RequestHead::State RequestHead::feed(std::string_view bytes) {
    const State state = read_lines(bytes);
    if (state == State::refused) return state;
    const std::size_t used = state == State::complete ? at_ : bytes.size();
    if (used > limits_.head_bytes) {
        return refuse(431, "The request's headers are larger than this server accepts.");
    }
    return state;
}

RequestHead::State RequestHead::read_lines(std::string_view bytes) {
    while (true) {
        const std::size_t end = bytes.find('\n', at_);
        if (end == std::string_view::npos) return check_incomplete(bytes.substr(at_));
        if (end == at_ || bytes[end - 1] != '\r') {
            return refuse(400, "A line of the request's head does not end in CR LF.");
        }
        const std::string_view line = bytes.substr(at_, end - 1 - at_);
        at_ = end + 1;
        if (line.empty() && has_request_line_) return finish();
        if (line.empty() && n_skipped_ == 0) {
            n_skipped_ = at_;
            continue;
        }
        const State state = read_line(line);
        if (state != State::incomplete) return state;
    }
}

// A line that is too long or cannot become valid is refused before its end has come.
RequestHead::State RequestHead::check_incomplete(std::string_view line) {
    if (!has_request_line_ && line.size() > limits_.request_line_bytes) {
        return refuse(414, "The request line is longer than this server accepts.");
    }
    const std::size_t bad = line.find_first_of(std::string_view("\0\r", 2));
    if (bad != std::string_view::npos && (line[bad] == '\0' || bad + 1 < line.size())) {
        return refuse(400, "The request's head holds a control character.");
    }
    return State::incomplete;
}

RequestHead::State RequestHead::read_line(std::string_view line) {
    if (has_request_line_) return read_field(line);
    has_request_line_ = true;
    return read_request_line(line);
}

RequestHead::State RequestHead::read_request_line(std::string_view line) {
    if (line.size() > limits_.request_line_bytes) {
        return refuse(414, "The request line is longer than this server accepts.");
    }
    constexpr const char* kBad = "The request line is not of the form METHOD /path HTTP/1.1.";
    const std::size_t first = line.find(' ');
    const std::size_t last = line.rfind(' ');
    if (first == std::string_view::npos || first == last) return refuse(400, kBad);
    const std::string_view method = line.substr(0, first);
    const std::string_view target = line.substr(first + 1, last - first - 1);
    const std::string_view version = line.substr(last + 1);
    is_http_10_ = version == "HTTP/1.0";
    if (!is_http_10_ && version != "HTTP/1.1") return refuse(400, kBad);
    if (!is_token(method) || method.size() > 32) return refuse(400, kBad);
    if (!std::all_of(target.begin(), target.end(), is_target_char)) return refuse(400, kBad);
    // Proxies are sent "http://host/path" or "host:port"; taking those would give a request two
    // hosts.
    const bool is_path = !target.empty() && target.front() == '/';
    if (!is_path && !(target == "*" && method == "OPTIONS")) return refuse(400, kBad);
    return State::incomplete;
}

RequestHead::State RequestHead::read_field(std::string_view line) {
    if (++n_fields_ > limits_.n_fields) {
        return refuse(431, "The request has more headers than this server accepts.");
    }
    if (kBlanks.find(line.front()) != std::string_view::npos) {
        return refuse(400, "A header is folded over two lines.");
    }
    const std::size_t colon = line.find(':');
    if (colon == std::string_view::npos || !is_token(line.substr(0, colon))) {
        return refuse(400, "A header is not of the form NAME: VALUE.");
    }
    const std::string_view value = line.substr(colon + 1);
    if (!std::all_of(value.begin(), value.end(), is_value_char)) {
        return refuse(400, "A header holds a control character.");
    }
    return note_field(line.substr(0, colon), trimmed(value));
}

RequestHead::State RequestHead::note_field(std::string_view name, std::string_view value) {
    if (equal_ignoring_case(name, "Host")) ++n_hosts_;
    if (equal_ignoring_case(name, "Content-Length")) {
        ++n_lengths_;
        if (!is_length(value)) return refuse(400, "Content-Length is not a number.");
    }
    if (equal_ignoring_case(name, "Transfer-Encoding")) {
        ++n_codings_;
        while (true) {
            const std::size_t comma = value.find(',');
            const std::string_view coding = trimmed(value.substr(0, comma));
            if (equal_ignoring_case(coding, "chunked")) {
                ++n_chunked_;
            } else if (coding.empty()) {
                return refuse(400, "Transfer-Encoding has an empty element.");
            } else {
                has_unknown_coding_ = true;
            }
            if (comma == std::string_view::npos) break;
            value.remove_prefix(comma + 1);
        }
    }
    return State::incomplete;
}

RequestHead::State RequestHead::finish() {
    if (n_hosts_ > 1 || (n_hosts_ == 0 && !is_http_10_)) {
        return refuse(400, "The request needs exactly one Host header.");
    }
    if (n_lengths_ > 1) return refuse(400, "Content-Length is given twice.");
    if (n_codings_ > 0) return check_transfer_coding();
    return State::complete;
}

RequestHead::State RequestHead::check_transfer_coding() {
    if (n_lengths_ > 0) {
        return refuse(400, "Content-Length and Transfer-Encoding exclude each other.");
    }
    if (n_codings_ > 1 || n_chunked_ > 1 || is_http_10_) {
        return refuse(400, "Transfer-Encoding is given twice or to HTTP/1.0.");
    }
    if (has_unknown_coding_) return refuse(501, "The only transfer coding known is chunked.");
    return State::complete;
}

RequestHead::State RequestHead::refuse(int status, const char* message) {
    error_ = {};
    error_.status = status;
    error_.message = message;
    return State::refused;
}

}  // namespace baltoro::server
