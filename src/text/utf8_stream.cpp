#include "text/utf8_stream.h"

#include "text/utf8.h"

namespace baltoro {
namespace {

constexpr std::string_view kReplacement = "\xef\xbf\xbd";

}  // namespace

std::string Utf8Stream::push(std::string_view bytes) {
    pending_.append(bytes);
    std::string_view rest = pending_;
    std::string text;
    while (!rest.empty()) {
        const Utf8Step step = decode_utf8(rest);
        if (step.status == Utf8Status::incomplete) break;
        text.append(step.status == Utf8Status::valid ? rest.substr(0, step.length) : kReplacement);
        rest.remove_prefix(step.length);
    }
    pending_.erase(0, pending_.size() - rest.size());
    return text;
}

std::string Utf8Stream::finish() {
    // What is pending is a prefix of one code point: one maximal invalid part.
    std::string text(pending_.empty() ? std::string_view() : kReplacement);
    pending_.clear();
    return text;
}

}  // namespace baltoro
