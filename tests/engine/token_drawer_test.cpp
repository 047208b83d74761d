#include "engine/token_drawer.h"

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include "base/random.h"
#include "engine/answer_text.h"
#include "sampling/token_trie.h"
#include "tests/text/tokenizer_fixture.h"

using namespace baltoro;

namespace {

constexpr std::int32_t kStop = 256;
constexpr std::int32_t kSectionBegin = 257;
constexpr std::int32_t kCallBegin = 258;
constexpr std::int32_t kArgumentBegin = 259;
constexpr std::int32_t kCallEnd = 260;
constexpr int kVocabSize = 262;

// Kimi's markers over single bytes.
Tokenizer marked_bytes() {
    return Tokenizer::from_ranks(byte_ranks(),
                                 {{"<|im_end|>", kStop},
                                  {"<|tool_calls_section_begin|>", kSectionBegin},
                                  {"<|tool_call_begin|>", kCallBegin},
                                  {"<|tool_call_argument_begin|>", kArgumentBegin},
                                  {"<|tool_call_end|>", kCallEnd},
                                  {"<think>", 261}},
                                 "marked bytes");
}

std::shared_ptr<const TokenTrie> trie_of(const Tokenizer& tokenizer, std::int32_t stop) {
    std::vector<std::string_view> bytes(kVocabSize);
    for (std::int32_t id = 0; id < 256; id++)
        bytes[static_cast<std::size_t>(id)] = tokenizer.token_bytes(id);
    const std::vector<std::int32_t> stops = {stop};
    return std::make_shared<const TokenTrie>(bytes, stops);
}

// An answer of a model that has no preference, written the way the engine writes it.
class Writer {
  public:
    explicit Writer(const Request& request)
        : text_(tokenizer_, request), drawer_(kVocabSize, std::vector<std::int32_t>{kStop}) {
        drawer_.start(request, {});
    }

    std::int32_t draw() {
        const TokenPlace place{text_.is_content(), text_.open_tool()};
        const std::int32_t id = drawer_.draw(logits_, true, place);
        take(id);
        return id;
    }

    // Tokens that the model happens to draw: with them alone in question it can draw no other.
    void write(std::int32_t id) {
        std::vector<float> logits(kVocabSize, -1e30f);
        logits[static_cast<std::size_t>(id)] = 0.0f;
        std::swap(logits, logits_);
        CHECK(draw() == id);
        std::swap(logits, logits_);
    }
    void write(std::string_view text) {
        for (const char byte : text)
            write(static_cast<unsigned char>(byte));
    }

    // A call up to its arguments, which are then drawn up to their end.
    std::string call(std::string_view id) {
        write(kCallBegin);
        write(id);
        write(kArgumentBegin);
        std::string arguments;
        for (std::int32_t drawn = draw(); drawn != kCallEnd; drawn = draw()) {
            REQUIRE(drawn < 256);
            arguments += static_cast<char>(drawn);
            REQUIRE(arguments.size() < 1000);
        }
        return arguments;
    }

    std::vector<AnswerPart> parts;

  private:
    void take(std::int32_t id) {
        drawer_.accept(id);
        text_.push(id, parts);
    }

    Tokenizer tokenizer_ = marked_bytes();
    AnswerText text_;
    TokenDrawer drawer_;
    std::vector<float> logits_ = std::vector<float>(kVocabSize, 0.0f);
};

StrictTool strict_tool(const Tokenizer& tokenizer, std::string name, std::string_view schema) {
    const auto grammar = compile_schema(schema, trie_of(tokenizer, kCallEnd));
    REQUIRE(grammar.has_value());
    return {std::move(name), *grammar};
}

Request strict_request(std::uint64_t seed) {
    const Tokenizer tokenizer = marked_bytes();
    Request request;
    request.sampling.temperature = 1.0;
    request.sampling.seed = seed;
    for (const char* name : {"unit", "flags", "free"})
        request.format.tools.push_back({name, ""});
    request.strict_tools.push_back(strict_tool(tokenizer, "unit", R"({"type": "object",
        "properties": {"unit": {"enum": ["celsius", "kelvin"]}}, "required": ["unit"],
        "additionalProperties": false})"));
    request.strict_tools.push_back(strict_tool(tokenizer, "flags", R"({"type": "object",
        "properties": {"on": {"type": "boolean"}, "off": {"type": "boolean"}},
        "required": ["on", "off"], "additionalProperties": false})"));
    return request;
}

}  // namespace

TEST_CASE("arguments of strict tools follow their schemas, call after call") {
    for (std::uint64_t seed = 0; seed < 20; seed++) {
        CAPTURE(seed);
        Writer writer(strict_request(seed));
        writer.write(kSectionBegin);
        int call_idx = 0;
        for (const char* name : {"unit", "unit", "flags", "unit", "flags", "flags"}) {
            const std::string id =
                "functions." + std::string(name) + ":" + std::to_string(call_idx);
            const std::string arguments = writer.call(id);
            CAPTURE(arguments);
            const auto json = nlohmann::json::parse(arguments);
            if (name == std::string_view("unit")) {
                CHECK(json.size() == 1);
                CHECK((json.at("unit") == "celsius" || json.at("unit") == "kelvin"));
            } else {
                CHECK(json.size() == 2);
                CHECK(json.at("on").is_boolean());
                CHECK(json.at("off").is_boolean());
            }
            REQUIRE(!writer.parts.empty());
            CHECK(writer.parts.back().kind == AnswerPart::Kind::call_end);
            CHECK(writer.parts.back().call_idx == call_idx++);
        }
    }
}

TEST_CASE("other calls, ids and content are as free as without strict tools") {
    Request strict = strict_request(3);
    Request plain = strict;
    plain.strict_tools.clear();
    Writer with(strict);
    Writer without(plain);
    for (Writer* writer : {&with, &without}) {
        writer->write(kSectionBegin);
        writer->write(kCallBegin);
        writer->write("functions.free:0");
        writer->write(kArgumentBegin);
    }
    for (int i = 0; i < 50; i++)
        CHECK(with.draw() == without.draw());
}

TEST_CASE("a strict call cannot end before its arguments do, nor the answer in it") {
    Request request = strict_request(1);
    request.sampling.temperature = 0.0;
    request.sampling.logit_bias = {{kCallEnd, 100.0f}, {kStop, 100.0f}, {261, 100.0f}};
    Writer writer(request);
    const std::string arguments = writer.call("functions.unit:0");
    CHECK(nlohmann::json::parse(arguments).contains("unit"));
}
