#include <sys/stat.h>

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include <doctest/doctest.h>

#include "base/error.h"
#include "base/random.h"
#include "tests/text/tokenizer_fixture.h"
#include "text/rank_file.h"
#include "text/special_tokens.h"
#include "text/tokenizer.h"

using namespace baltoro;

namespace {

struct BadInput {
    std::string_view name;
    std::string text;
    std::string_view message;  // part of the error
};

std::string error_of(const auto& action) {
    try {
        action();
    } catch (const Error& error) {
        return error.what();
    }
    return "no error";
}

// A good file with one more line, which is number 257.
std::string with_line(const std::string& line) {
    return byte_ranks() + line + "\n";
}

std::string without_line(int number) {
    std::string text;
    for (int value = 0; value < 256; ++value)
        if (value != number) text += rank_line(static_cast<unsigned char>(value), value);
    return text;
}

std::string added(const std::string& entries) {
    return R"({"added_tokens_decoder": {)" + entries + "}}";
}

std::vector<BadInput> bad_rank_files() {
    return {
        {"empty file", "", "line 1: the file is empty"},
        {"one empty line", "\n", "line 1: expected \"base64 rank\", found no space"},
        {"rank given twice", with_line("YWI= 97"), "line 257: rank 97 is given twice"},
        {"token given twice", with_line("YQ== 300"), "line 257: the same token as rank 97"},
        {"first byte missing", without_line(0), "no token for the single byte 0x00"},
        {"last byte missing", without_line(255), "no token for the single byte 0xff"},
        {"only one line", "YQ== 0\n", "no token for the single byte 0x00 in 1 lines"},
        {"bad base64 character", with_line("Y-I= 300"), "line 257: byte 0x2d in base64"},
        {"URL alphabet", with_line("_w== 300"), "line 257: byte 0x5f in base64"},
        {"high byte in base64", with_line("Y\xffI= 300"), "line 257: byte 0xff in base64"},
        {"NUL in base64", with_line(std::string("Y\0I= 300", 8)), "line 257: byte 0x00 in base64"},
        {"padding missing", with_line("YWI 300"), "base64 of 3 characters"},
        {"one character", with_line("Y 300"), "base64 of 1 characters"},
        {"padding too long", with_line("Y=== 300"), "line 257: byte 0x3d in base64"},
        {"padding in the middle", with_line("YQ==YQ== 300"), "line 257: byte 0x3d in base64"},
        {"padding alone", with_line("==== 300"), "line 257: byte 0x3d in base64"},
        {"stray bits", with_line("YR== 300"), "line 257: base64 with bits set after"},
        {"empty token", with_line(" 300"), "line 257: empty token"},
        {"no space", with_line("YWI="), "line 257: expected \"base64 rank\""},
        {"tab for space", with_line("YWI=\t300"), "line 257: expected \"base64 rank\""},
        {"no rank", with_line("YWI= "), "line 257: rank is not a number"},
        {"two spaces", with_line("YWI=  300"), "line 257: rank is not a number"},
        {"rank in words", with_line("YWI= many"), "line 257: rank is not a number"},
        {"rank with plus", with_line("YWI= +300"), "line 257: rank is not a number"},
        {"negative rank", with_line("YWI= -1"), "line 257: rank is negative"},
        {"negative zero", with_line("YWI= -0"), "line 257: rank is negative"},
        {"rank too large", with_line("YWI= 4194304"), "line 257: rank too large"},
        {"rank past 32 bits", with_line("YWI= 4294967296"), "line 257: rank too large"},
        {"rank past 64 bits", with_line("YWI= 99999999999999999999"), "line 257: rank too large"},
        {"fraction", with_line("YWI= 300.5"), "line 257: unexpected bytes after the rank"},
        {"trailing rubbish", with_line("YWI= 300 x"), "line 257: unexpected bytes after the rank"},
        {"trailing space", with_line("YWI= 300 "), "line 257: unexpected bytes after the rank"},
        {"empty line inside", "YQ== 0\n\nYg== 1\n", "line 2: expected"},
        {"empty line at the end", with_line(""), "line 257: expected"},
        {"JSON", "{\"a\": 1}\n", "line 1: base64 of 5 characters"},
        {"git LFS pointer", "version https://git-lfs.github.com/spec/v1\n", "line 1: base64 of 7"},
    };
}

std::vector<BadInput> bad_configs() {
    return {
        {"empty config", "", "not valid JSON"},
        {"cut off", R"({"added_tokens_decoder": {)", "not valid JSON"},
        {"not UTF-8", added("\"300\": {\"content\": \"\xff\"}"), "not valid JSON"},
        {"an array", "[]", "expected a JSON object"},
        {"a number", "3", "expected a JSON object"},
        {"decoder is an array", R"({"added_tokens_decoder": []})", "expected an object"},
        {"decoder is null", R"({"added_tokens_decoder": null})", "expected an object"},
        {"decoder given twice", R"({"added_tokens_decoder": {}, "added_tokens_decoder": {}})",
         "\"added_tokens_decoder\" is given twice"},
        {"id given twice", added(R"("300": {"content": "a"}, "300": {"content": "b"})"),
         "\"300\" is given twice"},
        {"content given twice", added(R"("300": {"content": "a"}, "301": {"content": "a"})"),
         "is the content of another id"},
        {"content twice in an entry", added(R"("300": {"content": "a", "content": "b"})"),
         "\"content\" is given twice"},
        {"id of a rank", added(R"("97": {"content": "<a>"})"), "is that of an ordinary token"},
        {"negative id", added(R"("-1": {"content": "a"})"), "id -1 is negative"},
        {"id too large", added(R"("4194304": {"content": "a"})"), "is too large"},
        {"id past 64 bits", added(R"("99999999999999999999": {"content": "a"})"), "is too large"},
        {"id in words", added(R"("x": {"content": "a"})"), "\"x\" is no token id"},
        {"empty id", added(R"("": {"content": "a"})"), "\"\" is no token id"},
        {"id with zeros", added(R"("0300": {"content": "a"})"), "\"0300\" is no token id"},
        {"id with rubbish", added(R"("300x": {"content": "a"})"), "\"300x\" is no token id"},
        {"entry is a string", added(R"("300": "a")"), "expected an object"},
        {"entry is null", added(R"("300": null)"), "expected an object"},
        {"no content", added(R"("300": {"special": true})"), "has no \"content\""},
        {"content is a number", added(R"("300": {"content": 3})"), "\"content\" is not a string"},
        {"content is null", added(R"("300": {"content": null})"), "\"content\" is not a string"},
        {"content is empty", added(R"("300": {"content": ""})"), "\"content\" is empty"},
        {"content of a reserved slot", added(R"("300": {"content": "<|reserved_token_301|>"})"),
         "the text is also that of id 300"},
        {"too deep", std::string(500, '[') + std::string(500, ']'), "nested deeper than 128"},
    };
}

// Replaces, inserts or removes a few bytes.
std::string mutated(std::string text, Random& random) {
    for (std::uint64_t n = 1 + random.below(3); n > 0 && !text.empty(); --n) {
        const std::size_t at = random.below(text.size());
        switch (random.below(4)) {
            case 0:
                text[at] = static_cast<char>(random.below(256));
                break;
            case 1:
                text.insert(at, 1, "0 \n={}\"-"[random.below(8)]);
                break;
            case 2:
                text.erase(at, 1 + random.below(5));
                break;
            default:
                text.resize(at);
        }
    }
    return text;
}

}  // namespace

TEST_CASE("a bad rank file is refused with file, line and reason") {
    for (const BadInput& input : bad_rank_files()) {
        CAPTURE(input.name);
        const std::string error =
            error_of([&] { parse_rank_file(input.text, "x/tiktoken.model"); });
        CAPTURE(error);
        CHECK(error.find(input.message) != std::string::npos);
        CHECK(error.starts_with("x/tiktoken.model: "));
    }
}

TEST_CASE("a bad tokenizer config is refused with file and reason") {
    const TemporaryDirectory directory;
    directory.write("tiktoken.model", byte_ranks());
    for (const BadInput& input : bad_configs()) {
        CAPTURE(input.name);
        directory.write("tokenizer_config.json", input.text);
        const std::string error =
            error_of([&] { Tokenizer::from_directory(directory.path.string()); });
        CAPTURE(error);
        CHECK(error.find(input.message) != std::string::npos);
        CHECK(error.find("tokenizer_config.json: ") != std::string::npos);
    }
}

TEST_CASE("special tokens given to from_ranks are checked") {
    const auto error_with = [](std::vector<std::pair<std::string, std::int32_t>> tokens) {
        return error_of([&] { Tokenizer::from_ranks(byte_ranks(), tokens, "memory"); });
    };
    CHECK(error_with({{"", 300}}).find("has no text") != std::string::npos);
    CHECK(error_with({{"a", -1}}).find("the id is not in 0 to") != std::string::npos);
    CHECK(error_with({{"a", 1 << 30}}).find("the id is not in 0 to") != std::string::npos);
    CHECK(error_with({{"a", 300}, {"b", 300}}).find("also that of \"a\"") != std::string::npos);
    CHECK(error_with({{"a", 300}, {"a", 301}}).find("also that of id 300") != std::string::npos);
    CHECK(error_with({{"a", 5}}).find("ordinary token") != std::string::npos);
}

TEST_CASE("a rank file may have gaps, any order, either line end and no last one") {
    CHECK(parse_rank_file(with_line("YWI= 300"), "memory").n_tokens() == 257);
    CHECK(parse_rank_file("YWI= 300\n" + byte_ranks(), "memory").find("ab") == 300);
    CHECK(parse_rank_file(byte_ranks() + "YWI= 256\r\nYWJj 257\r\n", "memory").find("abc") == 257);
    CHECK(parse_rank_file(byte_ranks() + "YWI= 256", "memory").find("ab") == 256);
}

TEST_CASE("what is no regular file is refused at once") {
    const TemporaryDirectory directory;
    const std::string folder = directory.path.string();
    const auto error = [&] { return error_of([&] { Tokenizer::from_directory(folder); }); };
    CHECK(error().find("No such file") != std::string::npos);
    REQUIRE(mkfifo((directory.path / "tiktoken.model").c_str(), 0600) == 0);
    CHECK(error().find("not a regular file") != std::string::npos);
    std::filesystem::remove(directory.path / "tiktoken.model");
    std::filesystem::create_directory(directory.path / "tiktoken.model");
    CHECK(error().find("is a directory") != std::string::npos);
    std::filesystem::remove(directory.path / "tiktoken.model");
    directory.write("tiktoken.model", "");
    std::filesystem::resize_file(directory.path / "tiktoken.model", kMaxRankFileBytes + 1);
    CHECK(error().find("at most") != std::string::npos);
}

TEST_CASE("mutated files load or are refused, and what loads encodes") {
    Random random(1);
    const std::string config =
        added(R"("256": {"content": "<a>", "special": true}, "260": {"content": "<b>"})");
    int n_loaded = 0;
    int n_refused = 0;
    for (int round = 0; round < 1500; ++round) {
        CAPTURE(round);
        try {
            const std::string text =
                random.below(2) == 0 ? byte_ranks() : mutated(byte_ranks(), random);
            const SpecialTokenList special = parse_added_tokens(mutated(config, random), "memory");
            const Tokenizer tokenizer = Tokenizer::from_ranks(text, special, "memory");
            CHECK(tokenizer.decode(tokenizer.encode_with_special("<a>x<b>")) == "<a>x<b>");
            ++n_loaded;
        } catch (const Error&) {
            ++n_refused;
        }
    }
    CHECK(n_loaded > 0);
    CHECK(n_refused > 0);
}
