#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "base/error.h"
#include "base/random.h"
#include "tests/weights/temporary_checkpoint.h"
#include "weights/safetensors.h"
#include "weights/safetensors_header.h"

using namespace baltoro;
using namespace baltoro::testing;

namespace {

struct BadFile {
    std::string name;
    std::string bytes;
    std::vector<std::string> parts;  // of the message, besides the file name
};

std::string repeated(std::string_view text, int n) {
    std::string result;
    for (int i = 0; i < n; ++i)
        result += text;
    return result;
}

std::string length_field(std::uint64_t length) {
    std::string text(8, '\0');
    for (int i = 0; i < 8; ++i)
        text[i] = static_cast<char>(length >> (8 * i));
    return text;
}

// A header with one tensor "a" of eight bytes, its fields as given.
std::string with_fields(const std::string& fields) {
    return safetensors_text("{\"a\":{" + fields + "}}", 8);
}

std::string with_shape(const std::string& shape) {
    return with_fields(R"("dtype":"F32","shape":)" + shape + R"(,"data_offsets":[0,8])");
}

std::string with_offsets(const std::string& offsets) {
    return with_fields(R"("dtype":"F32","shape":[2],"data_offsets":)" + offsets);
}

std::string with_dtype(const std::string& dtype) {
    return with_fields(R"("dtype":)" + dtype + R"(,"shape":[2],"data_offsets":[0,8])");
}

std::string f32(const std::string& name, int begin, int end) {
    return "\"" + name + R"(":{"dtype":"F32","shape":[)" + std::to_string((end - begin) / 4) +
           R"(],"data_offsets":[)" + std::to_string(begin) + "," + std::to_string(end) + "]}";
}

// clang-format off
std::vector<BadFile> bad_lengths() {
    const std::string good = "{" + f32("a", 0, 8) + "}";
    return {
        {"empty file", "", {"0 bytes", "too few"}},
        {"three bytes", "abc", {"3 bytes", "too few"}},
        {"seven bytes", "1234567", {"7 bytes", "too few"}},
        {"length field alone, of zero", length_field(0), {"not a JSON object"}},
        {"length field alone, of one", length_field(1), {"claims 1 bytes", "only 0 follow"}},
        {"header truncated by one byte", safetensors_text(good, 0).substr(0, 8 + good.size() - 1), {"truncated"}},
        {"header truncated in the middle", safetensors_text(good, 0).substr(0, 20), {"truncated"}},
        {"length of all ones", length_field(~std::uint64_t{0}) + good, {"claims 18446744073709551615", "at most"}},
        {"length with the top bit", length_field(std::uint64_t{1} << 63) + good, {"at most"}},
        {"length just past the limit", length_field(kMaxSafetensorsHeaderBytes + 1) + good, {"at most 100000000"}},
        {"length at the limit in a short file", length_field(kMaxSafetensorsHeaderBytes) + good, {"truncated"}},
        {"length in big-endian order", std::string("\0\0\0\0\0\0\0\x40", 8) + good, {"at most"}},
        {"length one too long", length_field(good.size() + 1) + good, {"truncated"}},
        {"length one too short", length_field(good.size() - 1) + good + std::string(8, '\0'), {"not valid JSON"}},
        {"another format altogether", std::string("GGUF\3\0\0\0 and so on and on", 25), {"at most"}},
    };
}

std::vector<BadFile> bad_json() {
    const std::string good = f32("a", 0, 8);
    return {
        {"header of spaces", safetensors_text("        ", 0), {"not a JSON object"}},
        {"header begins with a space", safetensors_text(" {" + good + "}", 8), {"not a JSON object"}},
        {"header begins with a byte order mark", safetensors_text("\xef\xbb\xbf{" + good + "}", 8), {"not a JSON object"}},
        {"header is an array", safetensors_text("[]", 0), {"not a JSON object"}},
        {"header is a string", safetensors_text("\"a\"", 0), {"not a JSON object"}},
        {"header is null", safetensors_text("null", 0), {"not a JSON object"}},
        {"two objects", safetensors_text("{}{}", 0), {"not valid JSON"}},
        {"text after the object", safetensors_text("{" + good + "} x", 8), {"not valid JSON"}},
        {"zero bytes as padding", safetensors_text("{" + good + "}" + std::string(4, '\0'), 8), {"not valid JSON"}},
        {"object left open", safetensors_text("{" + good, 8), {"not valid JSON"}},
        {"trailing comma", safetensors_text("{" + good + ",}", 8), {"not valid JSON"}},
        {"comment", safetensors_text("{/* */" + good + "}", 8), {"not valid JSON"}},
        {"single quotes", safetensors_text("{'a':1}", 8), {"not valid JSON"}},
        {"key without quotes", safetensors_text("{a:1}", 8), {"not valid JSON"}},
        {"NaN", with_shape("[NaN]"), {"not valid JSON"}},
        {"number out of range", with_shape("[1e999]"), {"not valid JSON"}},
        {"hexadecimal number", with_shape("[0x2]"), {"not valid JSON"}},
        {"leading zero", with_shape("[02]"), {"not valid JSON"}},
        {"invalid UTF-8 in a name", safetensors_text("{\"a\xff\":1}", 8), {"not valid JSON", "UTF-8"}},
        {"truncated UTF-8 sequence", safetensors_text("{\"\xe2\x82\":1}", 8), {"not valid JSON", "UTF-8"}},
        {"overlong UTF-8 sequence", safetensors_text("{\"\xc0\xaf\":1}", 8), {"not valid JSON", "UTF-8"}},
        {"UTF-8 surrogate", safetensors_text("{\"\xed\xa0\x80\":1}", 8), {"not valid JSON", "UTF-8"}},
        {"lone surrogate escape", safetensors_text(R"({"\ud800":1})", 8), {"not valid JSON"}},
        {"raw newline in a name", safetensors_text("{\"a\nb\":1}", 8), {"not valid JSON"}},
        {"unknown escape", safetensors_text(R"({"\x":1})", 8), {"not valid JSON"}},
        {"arrays nested 100,000 deep", safetensors_text("{\"a\":" + repeated("[", 100000), 0), {"tensor \"a\""}},
        {"metadata nested 100,000 deep", safetensors_text("{\"__metadata__\":{\"x\":" + repeated("[", 100000), 0), {"__metadata__"}},
        {"objects nested 9 deep in a shape", with_shape(repeated("[", 9) + repeated("]", 9)), {"tensor \"a\"", "shape"}},
        {"tensor twice", safetensors_text("{" + f32("a", 0, 4) + "," + f32("a", 4, 8) + "}", 8), {"\"a\"", "twice"}},
        {"tensor twice, once escaped", safetensors_text("{" + f32("a", 0, 4) + "," + f32("\\u0061", 4, 8) + "}", 8), {"\"a\"", "twice"}},
        {"metadata twice", safetensors_text(R"({"__metadata__":{},"__metadata__":{}})", 0), {"\"__metadata__\"", "twice"}},
        {"dtype twice", with_fields(R"("dtype":"F32","dtype":"F32","shape":[2],"data_offsets":[0,8])"), {"\"dtype\"", "twice"}},
        {"name of a megabyte", safetensors_text("{\"" + std::string(1 << 20, 'n') + "\":1}", 0), {"tensor", "nnn...", "has to be an object"}},
        {"a million empty arrays", safetensors_text("{\"a\":[" + repeated("[],", 1000000) + "[]]}", 0), {"tensor \"a\"", "has to be an object"}},
    };
}

std::vector<BadFile> bad_fields() {
    return {
        {"tensor is a number", safetensors_text(R"({"a":1})", 0), {"tensor \"a\"", "has to be an object"}},
        {"tensor is null", safetensors_text(R"({"a":null})", 0), {"tensor \"a\"", "has to be an object"}},
        {"tensor is an array", safetensors_text(R"({"a":[]})", 0), {"tensor \"a\"", "has to be an object"}},
        {"tensor without fields", safetensors_text(R"({"a":{}})", 0), {"tensor \"a\"", "no dtype"}},
        {"metadata is a string", safetensors_text(R"({"__metadata__":"pt"})", 0), {"__metadata__"}},
        {"metadata holds a number", safetensors_text(R"({"__metadata__":{"x":1}})", 0), {"__metadata__"}},
        {"metadata holds an object", safetensors_text(R"({"__metadata__":{"x":{}}})", 0), {"__metadata__"}},
        {"unknown field", with_fields(R"("dtype":"F32","shape":[2],"data_offsets":[0,8],"stride":[1])"), {"tensor \"a\"", "unknown field \"stride\""}},
        {"dtype missing", with_fields(R"("shape":[2],"data_offsets":[0,8])"), {"tensor \"a\"", "no dtype"}},
        {"dtype unknown", with_dtype("\"F33\""), {"tensor \"a\"", "unknown dtype \"F33\""}},
        {"dtype in lower case", with_dtype("\"f32\""), {"tensor \"a\"", "unknown dtype \"f32\""}},
        {"dtype in another library's spelling", with_dtype("\"float32\""), {"tensor \"a\"", "unknown dtype"}},
        {"dtype with a space", with_dtype("\"F32 \""), {"tensor \"a\"", "unknown dtype"}},
        {"dtype with a control character", with_dtype(R"("F32\u001b[2J")"), {"tensor \"a\"", "unknown dtype \"F32?[2J\""}},
        {"dtype empty", with_dtype("\"\""), {"tensor \"a\"", "unknown dtype"}},
        {"dtype is a number", with_dtype("32"), {"tensor \"a\"", "dtype has to be a string"}},
        {"dtype is null", with_dtype("null"), {"tensor \"a\"", "dtype has to be a string"}},
        {"shape missing", with_fields(R"("dtype":"F32","data_offsets":[0,8])"), {"tensor \"a\"", "no shape"}},
        {"shape is a number", with_shape("2"), {"tensor \"a\"", "shape has to be an array"}},
        {"shape is null", with_shape("null"), {"tensor \"a\"", "shape has to be an array"}},
        {"shape is an object", with_shape(R"({"[]":2})"), {"tensor \"a\"", "shape has to be an array"}},
        {"negative dimension", with_shape("[-2]"), {"tensor \"a\"", "shape", "found -2"}},
        {"two negative dimensions", with_shape("[-1,-2]"), {"tensor \"a\"", "shape", "found -1"}},
        {"fractional dimension", with_shape("[2.5]"), {"tensor \"a\"", "shape", "found 2.5"}},
        {"whole dimension written as a fraction", with_shape("[2.0]"), {"tensor \"a\"", "shape", "found 2"}},
        {"dimension with an exponent", with_shape("[2e0]"), {"tensor \"a\"", "shape", "integers"}},
        {"dimension as a string", with_shape("[\"2\"]"), {"tensor \"a\"", "shape", "found \"2\""}},
        {"dimension is null", with_shape("[null]"), {"tensor \"a\"", "shape", "found null"}},
        {"dimension is true", with_shape("[true]"), {"tensor \"a\"", "shape", "found true"}},
        {"dimension is an array", with_shape("[[2]]"), {"tensor \"a\"", "shape", "found an array"}},
        {"dimension past int64", with_shape("[9223372036854775808]"), {"tensor \"a\"", "shape", "integers"}},
        {"dimension past uint64", with_shape("[18446744073709551616]"), {"tensor \"a\"", "shape", "integers"}},
        {"dimension of a thousand digits", with_shape("[1" + std::string(300, '0') + "]"), {"tensor \"a\"", "shape"}},
        {"product of dimensions overflows", with_shape("[4294967296,4294967296]"), {"tensor \"a\"", "overflow"}},
        {"product overflows back to the right size", with_shape("[4611686018427387904,4,2]"), {"tensor \"a\"", "overflow"}},
        {"product with the element size overflows", with_shape("[4611686018427387904]"), {"tensor \"a\"", "overflow"}},
        {"product overflows before a zero", with_shape("[4294967296,4294967296,0]"), {"tensor \"a\"", "overflow"}},
        {"seventeen dimensions", with_shape("[" + repeated("1,", 16) + "2]"), {"tensor \"a\"", "more than 16 dimensions"}},
        {"shape smaller than the data", with_shape("[1]"), {"tensor \"a\"", "takes 4 bytes", "hold 8"}},
        {"shape larger than the data", with_shape("[3]"), {"tensor \"a\"", "takes 12 bytes", "hold 8"}},
        {"shape with a zero and data", with_shape("[2,0]"), {"tensor \"a\"", "takes 0 bytes", "hold 8"}},
        {"scalar with data of two", with_shape("[]"), {"tensor \"a\"", "takes 4 bytes", "hold 8"}},
        {"a terabyte in eight bytes", with_shape("[1048576,262144]"), {"tensor \"a\"", "hold 8"}},
    };
}

std::vector<BadFile> bad_offsets() {
    return {
        {"offsets missing", with_fields(R"("dtype":"F32","shape":[2])"), {"tensor \"a\"", "data_offsets", "0 numbers"}},
        {"offsets empty", with_offsets("[]"), {"tensor \"a\"", "data_offsets", "0 numbers"}},
        {"one offset", with_offsets("[0]"), {"tensor \"a\"", "data_offsets", "1 numbers"}},
        {"three offsets", with_offsets("[0,8,16]"), {"tensor \"a\"", "data_offsets", "more than two"}},
        {"offsets are a number", with_offsets("8"), {"tensor \"a\"", "data_offsets has to be an array"}},
        {"offsets are an object", with_offsets("{}"), {"tensor \"a\"", "data_offsets has to be an array"}},
        {"offset as a string", with_offsets("[\"0\",8]"), {"tensor \"a\"", "data_offsets", "found \"0\""}},
        {"fractional offset", with_offsets("[0,8.5]"), {"tensor \"a\"", "data_offsets", "found 8.5"}},
        {"negative offset", with_offsets("[-8,0]"), {"tensor \"a\"", "data_offsets", "found -8"}},
        {"offset past uint64", with_offsets("[0,18446744073709551624]"), {"tensor \"a\"", "data_offsets"}},
        {"offsets nested", with_offsets("[[0,8]]"), {"tensor \"a\"", "data_offsets"}},
        {"offsets run backwards", with_offsets("[8,0]"), {"tensor \"a\"", "backwards"}},
        {"offsets pass the end by one element", with_offsets("[4,12]"), {"tensor \"a\"", "pass the end"}},
        {"offsets far past the end", with_offsets("[9223372036854775799,9223372036854775807]"), {"tensor \"a\"", "pass the end"}},
        {"offsets past the end of a truncated file", safetensors_text("{" + f32("a", 0, 8) + "}", 7), {"tensor \"a\"", "pass the end", "7 bytes"}},
        {"gap at the start", safetensors_text("{" + f32("a", 4, 8) + "}", 8), {"tensor \"a\"", "gap"}},
        {"gap in the middle", safetensors_text("{" + f32("a", 0, 4) + "," + f32("b", 8, 12) + "}", 12), {"tensor \"b\"", "gap"}},
        {"gap at the end", safetensors_text("{" + f32("a", 0, 8) + "}", 9), {"data section has 9 bytes", "end at 8"}},
        {"data without tensors", safetensors_text("{}", 8), {"data section has 8 bytes", "end at 0"}},
        {"overlap by one element", safetensors_text("{" + f32("a", 0, 8) + "," + f32("b", 4, 12) + "}", 12), {"tensor \"b\"", "overlap"}},
        {"two tensors in one place", safetensors_text("{" + f32("a", 0, 8) + "," + f32("b", 0, 8) + "}", 8), {"overlap"}},
        {"tensor inside another", safetensors_text("{" + f32("a", 0, 12) + "," + f32("b", 4, 8) + "}", 12), {"tensor \"b\"", "overlap"}},
        {"empty tensor inside another", safetensors_text("{" + f32("a", 0, 8) + "," + f32("b", 4, 4) + "}", 8), {"tensor \"b\"", "overlap"}},
    };
}
// clang-format on

void check_all_refused(const std::vector<BadFile>& files) {
    const TemporaryDirectory directory;
    for (const BadFile& bad : files) {
        const std::string path = write_text(directory.file("bad.safetensors"), bad.bytes);
        std::vector<std::string> parts = bad.parts;
        parts.push_back("bad.safetensors: ");
        check_refused(bad.name, parts, [&] { SafetensorsFile{path}; });
    }
}

}  // namespace

TEST_CASE("headers of a bad length are refused with file and reason") {
    check_all_refused(bad_lengths());
}

TEST_CASE("headers that are not strict JSON are refused with file and reason") {
    check_all_refused(bad_json());
}

TEST_CASE("tensors with bad fields are refused with file, tensor and reason") {
    check_all_refused(bad_fields());
}

TEST_CASE("tensors with bad offsets are refused with file, tensor and reason") {
    check_all_refused(bad_offsets());
}

TEST_CASE("random mutations of a header are accepted or refused, never worse") {
    const std::string good =
        R"({"__metadata__":{"format":"pt"},)" + f32("model.a", 0, 8) + "," + f32("model.b", 8, 20) +
        R"(,"model.c":{"dtype":"F8_E4M3","shape":[2,2],"data_offsets":[20,24]}})";
    REQUIRE(parse_safetensors_header(good, 24, "good").size() == 3);
    constexpr std::uint64_t kSeed = 20250711;
    Random random(kSeed);
    int n_accepted = 0;
    int n_refused = 0;
    for (int round = 0; round < 2000; ++round) {
        CAPTURE(kSeed);
        CAPTURE(round);
        std::string text = good;
        for (std::uint64_t edits = 1 + random.below(4); edits > 0 && !text.empty(); --edits) {
            const std::size_t at = random.below(text.size());
            const auto byte = static_cast<char>(random.below(256));
            const std::uint64_t kind = random.below(4);
            if (kind == 0) text.insert(at, 1, text[random.below(text.size())]);
            if (kind == 1) text.erase(at, 1 + random.below(4));
            if (kind == 2) text[at] = byte;
            if (kind == 3) text[at] = static_cast<char>(text[at] ^ (1 << random.below(8)));
        }
        try {
            n_accepted += parse_safetensors_header(text, 24, "mutated").size() <= 4;
        } catch (const Error& error) {
            ++n_refused;
            CHECK(std::string(error.what()).starts_with("mutated: "));
        }
    }
    CHECK(n_accepted + n_refused == 2000);
    CHECK(n_accepted > 20);  // letters of names change
    CHECK(n_refused > 1000);
}
