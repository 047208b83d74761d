#pragma once

#include <string>
#include <utility>
#include <vector>

#include "base/random.h"
#include "server/json_fields.h"
#include "tests/server/refusal.h"
#include "text/chat_template.h"
#include "text/tool_ids.h"

namespace baltoro::server {

// Changes valid requests into ones that are nearly valid, from a seed.
class BodyMutation {
  public:
    // `words`: texts that mean something to the parser somewhere.
    BodyMutation(std::uint64_t seed, const std::vector<std::string>& words)
        : random_(seed), words_(words) {}

    // The text of a body with 1 to 4 of its values changed and sometimes a byte.
    std::string changed(Json body) {
        for (std::uint64_t n = 1 + random_.below(4); n > 0; n--)
            change_value(body);
        std::string text = json_text(body);
        if (random_.below(8) == 0) change_byte(text);
        return text;
    }

  private:
    static void collect(Json& value, std::vector<Json*>& places) {
        places.push_back(&value);
        if (!value.is_structured()) return;
        for (Json& item : value)
            collect(item, places);
    }

    Json& any_place(Json& body) {
        std::vector<Json*> places;
        collect(body, places);
        return *places[random_.below(places.size())];
    }

    Json new_value() {
        static const Json kValues = Json::array({nullptr,
                                                 true,
                                                 false,
                                                 0,
                                                 1,
                                                 -1,
                                                 0.5,
                                                 1e300,
                                                 9223372036854775807,
                                                 18446744073709551615u,
                                                 "",
                                                 "x",
                                                 " \n",
                                                 "\xc3\xa9\xf0\x9f\x98\x80",
                                                 std::string(3000, 'a'),
                                                 Json::array(),
                                                 Json::object(),
                                                 {{"type", "text"}, {"text", "more"}}});
        return kValues[random_.below(kValues.size())];
    }

    void change_value(Json& body) {
        Json& place = any_place(body);
        switch (random_.below(8)) {
            case 0:
            case 1:
                place = new_value();
                return;
            case 2:
                place = words_[random_.below(words_.size())];
                return;
            case 3: {
                Json copy = any_place(body);
                place = std::move(copy);
                return;
            }
            case 4: {
                Json wrapped = Json::array({place});
                place = std::move(wrapped);
                return;
            }
            case 5: {
                Json copy = place;
                if (place.is_array()) place.push_back(std::move(copy));
                if (place.is_object())
                    place[words_[random_.below(words_.size())]] = std::move(copy);
                return;
            }
            default:
                remove_item(place);
        }
    }

    void remove_item(Json& place) {
        if (!place.is_structured() || place.empty()) return;
        auto item = place.begin();
        std::advance(item, static_cast<std::ptrdiff_t>(random_.below(place.size())));
        place.erase(item);
    }

    void change_byte(std::string& text) {
        const std::size_t i = random_.below(text.size());
        switch (random_.below(3)) {
            case 0:
                text[i] = static_cast<char>(random_.below(256));
                return;
            case 1:
                text.erase(i, 1 + random_.below(20));
                return;
            default:
                text.insert(i, 1, "{}[]\",:\\0"[random_.below(9)]);
        }
    }

    Random random_;
    const std::vector<std::string>& words_;
};

// Parses a mutated body or checks its refusal; what was parsed can be rendered in every format.
template <class Parse>
void check_parses_and_renders(const std::string& body, Parse parse) {
    check_parses_or_refuses(body, [&](const std::string& text) {
        const ApiRequest api = parse(text);
        for (const ChatFormat format : {ChatFormat::k2_instruct, ChatFormat::k2_5}) {
            const ChatOptions options{!api.continues_last, api.thinking};
            const auto pieces =
                render_chat(format, canonical_tool_ids(api.messages_json), api.tools_json, options);
            CHECK(!pieces.empty());
        }
    });
}

}  // namespace baltoro::server
