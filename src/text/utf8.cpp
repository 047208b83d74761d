#include "text/utf8.h"

namespace baltoro {
namespace {

// What may follow a lead byte: how many bytes, and the range of the first of them, which excludes
// overlong forms, surrogates and values past U+10FFFF (the standard's table 3-7).
struct Sequence {
    int n_following;
    unsigned char first_low, first_high;
};

Sequence sequence_of(unsigned char lead) noexcept {
    if (lead < 0xc2) return {0, 0, 0};
    if (lead < 0xe0) return {1, 0x80, 0xbf};
    if (lead == 0xe0) return {2, 0xa0, 0xbf};
    if (lead == 0xed) return {2, 0x80, 0x9f};
    if (lead < 0xf0) return {2, 0x80, 0xbf};
    if (lead == 0xf0) return {3, 0x90, 0xbf};
    if (lead < 0xf4) return {3, 0x80, 0xbf};
    if (lead == 0xf4) return {3, 0x80, 0x8f};
    return {0, 0, 0};
}

}  // namespace

Utf8Step decode_utf8(std::string_view text) noexcept {
    const auto lead = static_cast<unsigned char>(text[0]);
    if (lead < 0x80) return {lead, 1, Utf8Status::valid};
    const Sequence sequence = sequence_of(lead);
    if (sequence.n_following == 0) return {0, 1, Utf8Status::invalid};
    unsigned char low = sequence.first_low;
    unsigned char high = sequence.first_high;
    for (int i = 1; i <= sequence.n_following; ++i) {
        const auto length = static_cast<std::uint8_t>(i);
        if (text.size() <= length) return {0, length, Utf8Status::incomplete};
        const auto byte = static_cast<unsigned char>(text[length]);
        if (byte < low || byte > high) return {0, length, Utf8Status::invalid};
        low = 0x80;
        high = 0xbf;
    }
    const auto length = static_cast<std::uint8_t>(sequence.n_following + 1);
    return {valid_utf8_code_point(text.data(), length), length, Utf8Status::valid};
}

}  // namespace baltoro
