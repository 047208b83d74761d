#include "tests/clients/conversation.h"

#include <algorithm>
#include <cstddef>
#include <optional>

namespace baltoro::testing {
namespace {

using Ids = std::span<const std::int32_t>;

// The ids that open turns and close their heads: "<|im_user|>NAME<|im_middle|>TEXT<|im_end|>".
struct TurnMarkers {
    explicit TurnMarkers(const Tokenizer& tokenizer)
        : user(tokenizer.special_id("<|im_user|>").value_or(-1)),
          assistant(tokenizer.special_id("<|im_assistant|>").value_or(-1)),
          system(tokenizer.special_id("<|im_system|>").value_or(-1)),
          middle(tokenizer.special_id("<|im_middle|>").value_or(-1)) {}
    bool opens_turn(std::int32_t id) const noexcept {
        return id >= 0 && (id == user || id == assistant || id == system);
    }
    std::int32_t user, assistant, system, middle;
};

// Where the turn that begins at or before the last id begins; absent if there is none.
std::optional<std::size_t> last_turn(const TurnMarkers& markers, Ids ids) {
    for (std::size_t i = ids.size(); i-- > 0;)
        if (markers.opens_turn(ids[i])) return i;
    return std::nullopt;
}

struct Turn {
    std::int32_t marker;
    std::string name;
    Ids text;
};

std::optional<Turn> turn_at(const Tokenizer& tokenizer, const TurnMarkers& markers, Ids turn) {
    const auto middle = std::find(turn.begin(), turn.end(), markers.middle);
    if (middle == turn.end()) return std::nullopt;
    const auto head = static_cast<std::size_t>(middle - turn.begin());
    return Turn{turn[0], tokenizer.decode(turn.subspan(1, head - 1)), turn.subspan(head + 1)};
}

bool is_heard(const TurnMarkers& markers, const Turn& turn) {
    return turn.marker == markers.user || (turn.name != "system" && turn.name != "tool_declare");
}

}  // namespace

Conversation read_conversation(const Tokenizer& tokenizer, Ids ids) {
    const TurnMarkers markers(tokenizer);
    const auto everything = [&] { return Conversation{false, tokenizer.decode(ids), {}}; };
    const std::optional<std::size_t> answer_begin = last_turn(markers, ids);
    if (!answer_begin) return everything();
    const std::optional<Turn> answer = turn_at(tokenizer, markers, ids.subspan(*answer_begin));
    if (!answer || answer->marker != markers.assistant) return everything();

    Conversation conversation{true, {}, tokenizer.decode(answer->text)};
    for (Ids before = ids.first(*answer_begin);;) {
        const std::optional<std::size_t> begin = last_turn(markers, before);
        if (!begin) return conversation;
        const std::optional<Turn> turn = turn_at(tokenizer, markers, before.subspan(*begin));
        if (turn && turn->marker == markers.assistant) return conversation;
        if (turn && is_heard(markers, *turn))
            conversation.heard = tokenizer.decode(turn->text) + conversation.heard;
        before = before.first(*begin);
    }
}

}  // namespace baltoro::testing
