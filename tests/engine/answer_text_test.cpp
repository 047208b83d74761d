#include "engine/answer_text.h"

#include <string>
#include <string_view>
#include <vector>

#include <doctest/doctest.h>

#include "tests/engine/served_model.h"

using namespace baltoro;
using namespace baltoro::testing;
using Kind = AnswerPart::Kind;

namespace {

// An answer that is written token by token.
struct Written {
    Tokenizer tokenizer = byte_tokenizer();
    AnswerText text;
    std::vector<AnswerPart> parts;

    explicit Written(const Request& request) : text(tokenizer, request) {}

    // How many tokens were taken before the answer ended; all if it did not.
    std::size_t push(std::string_view answer) {
        std::size_t n = 0;
        for (const std::int32_t id : tokenizer.encode_with_special(answer)) {
            n++;
            if (text.push(id, parts)) break;
        }
        return n;
    }
    void finish() { text.finish(parts); }

    std::string all(Kind kind) const {
        std::string whole;
        for (const AnswerPart& part : parts)
            if (part.kind == kind) whole += part.text;
        return whole;
    }
    int n(Kind kind) const {
        int n = 0;
        for (const AnswerPart& part : parts)
            n += part.kind == kind;
        return n;
    }
};

Request chat(bool has_reasoning = false, bool starts_in_reasoning = false) {
    Request request;
    request.format.has_reasoning = has_reasoning;
    request.format.starts_in_reasoning = starts_in_reasoning;
    return request;
}

constexpr std::string_view kCall =
    "<|tool_calls_section_begin|><|tool_call_begin|>functions.f:0<|tool_call_argument_begin|>{}"
    "<|tool_call_end|>";

}  // namespace

TEST_CASE("bytes become text when their code point is complete") {
    Written written(chat());
    CHECK(written.push("a\xe4\xbd") == 3);
    CHECK(written.all(Kind::content) == "a");
    written.push("\xa0!");
    CHECK(written.all(Kind::content) == "a\xe4\xbd\xa0!");
    written.push("\xe4\xbd");
    written.finish();
    CHECK(written.all(Kind::content) == "a\xe4\xbd\xa0!\xef\xbf\xbd");
}

TEST_CASE("a marker between bytes of a code point cuts it") {
    Written written(chat(true));
    written.push("\xe4\xbd<think>\xa0");
    written.finish();
    CHECK(written.all(Kind::content) == "\xef\xbf\xbd");
    CHECK(written.all(Kind::reasoning) == "\xef\xbf\xbd");
}

TEST_CASE("ids that the tokenizer does not know are nothing") {
    Written written(chat());
    written.push("a");
    CHECK(!written.text.push(kPaddedId, written.parts));
    CHECK(!written.text.push(-1, written.parts));
    written.push("b");
    CHECK(written.all(Kind::content) == "ab");
}

TEST_CASE("an answer of text has no markers, calls or reasoning") {
    Request request = chat(true, true);
    request.kind = AnswerKind::text;
    Written written(request);
    written.push(std::string("a<think>b</think>") + std::string(kCall) + "<|im_end|>c");
    written.finish();
    CHECK(written.all(Kind::content) == "abfunctions.f:0{}c");
    CHECK(written.n(Kind::content) == static_cast<int>(written.parts.size()));
    CHECK(written.text.n_reasoning_tokens() == 0);
}

TEST_CASE("reasoning is told from content and its tokens are counted") {
    for (const bool starts_in_reasoning : {true, false}) {
        CAPTURE(starts_in_reasoning);
        Written written(chat(true, starts_in_reasoning));
        CHECK(written.text.is_content() == !starts_in_reasoning);
        written.push(starts_in_reasoning ? "hm" : "<think>hm");
        CHECK(!written.text.is_content());
        CHECK(written.push("</think>yes") == 4);
        CHECK(written.text.is_content());
        written.finish();
        CHECK(written.all(Kind::reasoning) == "hm");
        CHECK(written.all(Kind::content) == "yes");
        CHECK(written.text.n_reasoning_tokens() == 3);  // the end's marker is one
    }
}

TEST_CASE("without reasoning its markers are left out and nothing is counted") {
    Written written(chat());
    written.push("a<think>b</think>c");
    CHECK(written.text.is_content());
    written.finish();
    CHECK(written.all(Kind::reasoning).empty());
    CHECK(written.text.n_reasoning_tokens() == 0);
}

TEST_CASE("inside a call nothing is content until it ends") {
    Written written(chat());
    written.push("a<|tool_calls_section_begin|>");
    CHECK(written.text.is_content());
    written.push("<|tool_call_begin|>functions.f:0");
    CHECK(!written.text.is_content());
    written.push("<|tool_call_argument_begin|>{}<|tool_call_end|>");
    CHECK(written.text.is_content());
    written.finish();
    CHECK(written.all(Kind::content) == "a");
    CHECK(written.all(Kind::call_arguments) == "{}");
    CHECK(written.n(Kind::call_end) == 1);
}

TEST_CASE("a call ends reasoning that was left open") {
    Written written(chat(true, true));
    written.push("hm" + std::string(kCall));
    written.finish();
    CHECK(written.all(Kind::reasoning) == "hm");
    CHECK(written.n(Kind::call_end) == 1);
    CHECK(written.text.is_content());
}

TEST_CASE("one call only: the answer ends with the first complete one") {
    Request request = chat();
    request.one_call_only = true;
    const std::size_t n_call = answer_ids(kCall).size();
    Written written(request);
    CHECK(written.push(std::string(kCall) + std::string(kCall)) == n_call);
    Written more(chat());
    CHECK(more.push(std::string(kCall) + std::string(kCall)) == 2 * n_call);
    CHECK(more.n(Kind::call_begin) == 2);
}

TEST_CASE("a stop text ends the content before it, wherever tokens are cut") {
    Request request = chat();
    request.stop = {"END", "never"};
    Written written(request);
    CHECK(written.push("one EN") == 6);
    CHECK(written.all(Kind::content) == "one ");  // the rest may be a stop text
    CHECK(written.text.stop_text().empty());
    CHECK(written.push("DED") == 1);
    CHECK(written.text.stop_text() == "END");
    written.finish();
    CHECK(written.all(Kind::content) == "one ");
}

TEST_CASE("what was held back for a stop text comes out at the end or before a call") {
    Request request = chat();
    request.stop = {"END"};
    Written ended(request);
    ended.push("one EN");
    ended.finish();
    CHECK(ended.all(Kind::content) == "one EN");
    Written called(request);
    called.push("one EN" + std::string(kCall));
    REQUIRE(called.n(Kind::call_begin) == 1);
    CHECK(called.all(Kind::content) == "one EN");
    std::size_t i = 0;
    while (called.parts[i].kind == Kind::content)
        i++;
    CHECK(called.parts[i].kind == Kind::call_begin);  // all content comes before it
}

TEST_CASE("stop texts count in content alone") {
    Request request = chat(true, true);
    request.stop = {"f", "h"};
    Written written(request);
    written.push("hf</think>" + std::string(kCall) + "<|tool_calls_section_end|>");
    CHECK(written.text.stop_text().empty());
    CHECK(written.all(Kind::reasoning) == "hf");
    written.push("a");
    CHECK(written.push("fg") == 1);
    CHECK(written.text.stop_text() == "f");
}

TEST_CASE("nothing follows a stop text, though a call is open behind it") {
    Request request = chat();
    request.stop = {"\n"};
    Written written(request);
    CHECK(written.push("a\nb") == 2);
    written.push(kCall);
    written.finish();
    CHECK(written.all(Kind::content) == "a");
    CHECK(written.parts.size() == 1);
}
