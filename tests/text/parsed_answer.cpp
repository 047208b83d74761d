#include "tests/text/parsed_answer.h"

#include <doctest/doctest.h>

#include "base/random.h"
#include "text/utf8.h"

namespace baltoro {
namespace {

// Adds a part and checks what every consumer relies on: no empty texts, calls one after the other.
void add_part(const AnswerPart& part, ParsedAnswer& answer) {
    switch (part.kind) {
        case AnswerPart::Kind::content:
            CHECK(!part.text.empty());
            answer.content += part.text;
            return;
        case AnswerPart::Kind::reasoning:
            CHECK(!part.text.empty());
            answer.reasoning += part.text;
            return;
        case AnswerPart::Kind::call_begin:
            REQUIRE(part.call_idx == static_cast<int>(answer.calls.size()));
            REQUIRE((answer.calls.empty() || answer.calls.back().is_ended));
            answer.calls.push_back({.id = part.text, .name = part.name, .arguments = ""});
            return;
        case AnswerPart::Kind::call_arguments:
            REQUIRE(part.call_idx + 1 == static_cast<int>(answer.calls.size()));
            REQUIRE(!answer.calls.back().is_ended);
            CHECK(!part.text.empty());
            answer.calls.back().arguments += part.text;
            return;
        case AnswerPart::Kind::call_end:
            REQUIRE(part.call_idx + 1 == static_cast<int>(answer.calls.size()));
            answer.calls.back().is_ended = true;
            answer.calls.back().is_complete = part.is_complete;
            return;
    }
}

// Text, or a marker where `marker` is set.
struct Piece {
    std::string text;
    std::optional<Marker> marker{};
};

// Cuts a text at the markers that are spelled in it.
std::vector<Piece> pieces_of(std::string_view text) {
    std::vector<Piece> pieces;
    std::size_t begin = 0;
    for (std::size_t at = 0; at < text.size(); ++at) {
        for (const std::string_view spelling : kSpecialSpellings) {
            if (!text.substr(at).starts_with(spelling)) continue;
            pieces.push_back({std::string(text.substr(begin, at - begin))});
            pieces.push_back({"", marker_spelled(spelling).value_or(Marker::other)});
            begin = at + spelling.size();
            at = begin - 1;
            break;
        }
    }
    pieces.push_back({std::string(text.substr(begin))});
    return pieces;
}

std::vector<std::string> code_points(std::string_view text) {
    std::vector<std::string> points;
    for (std::size_t at = 0; at < text.size(); at += utf8_length(text[at]))
        points.emplace_back(text.substr(at, utf8_length(text[at])));
    return points;
}

// Feeds the pieces, their texts cut before code points of which `cuts` says so.
template <typename Cuts>
ParsedAnswer parsed(const std::vector<Piece>& pieces, const AnswerFormat& format, Cuts cuts) {
    AnswerParser parser(format);
    std::vector<AnswerPart> parts;
    for (const Piece& piece : pieces) {
        if (piece.marker) {
            parser.push_marker(*piece.marker, parts);
            continue;
        }
        std::string run;
        for (const std::string& point : code_points(piece.text)) {
            if (cuts()) parser.push_text(std::exchange(run, {}), parts);
            run += point;
        }
        parser.push_text(run, parts);
    }
    parser.finish(parts);
    ParsedAnswer answer;
    for (const AnswerPart& part : parts)
        add_part(part, answer);
    answer.n_complete_calls = parser.n_complete_calls();
    return answer;
}

}  // namespace

ParsedAnswer parsed(std::string_view text, const AnswerFormat& format) {
    const std::vector<Piece> pieces = pieces_of(text);
    const ParsedAnswer whole = parsed(pieces, format, [] { return false; });
    CHECK((parsed(pieces, format, [] { return true; }) == whole));
    for (std::uint64_t seed = 1; seed <= 8; ++seed) {
        CAPTURE(seed);
        Random random(seed);
        CHECK((parsed(pieces, format, [&] { return random.below(4) == 0; }) == whole));
    }
    for (const ParsedCall& call : whole.calls)
        CHECK(call.is_ended);
    return whole;
}

}  // namespace baltoro
