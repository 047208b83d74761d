#include <sys/stat.h>

#include <functional>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "base/error.h"
#include "tests/weights/temporary_checkpoint.h"
#include "weights/checkpoint.h"
#include "weights/load_progress.h"

using namespace baltoro;
using namespace baltoro::testing;
namespace fs = std::filesystem;

namespace {

constexpr auto kIndex = "model.safetensors.index.json";

// A directory that is right until `damage` is done to it: tensors "a" and "b" in one.safetensors,
// "c" in two.safetensors.
struct BadDirectory {
    std::string name;
    std::function<void(const TemporaryDirectory&)> damage;
    std::vector<std::string> parts;
};

void write_good_checkpoint(const TemporaryDirectory& directory) {
    write_safetensors(
        directory.file("one.safetensors"),
        {counted_tensor("a", DType::f32, {2}), counted_tensor("b", DType::bf16, {2, 2})});
    write_safetensors(directory.file("two.safetensors"), {counted_tensor("c", DType::u8, {9})});
    write_text(
        directory.file(kIndex),
        index_text({{"a", "one.safetensors"}, {"b", "one.safetensors"}, {"c", "two.safetensors"}}));
}

std::function<void(const TemporaryDirectory&)> index_is(const std::string& text) {
    return
        [text](const TemporaryDirectory& directory) { write_text(directory.file(kIndex), text); };
}

std::function<void(const TemporaryDirectory&)> shard_of_a_is(const std::string& shard) {
    return index_is(R"({"weight_map":{"a":)" + shard + "}}");
}

using D = const TemporaryDirectory&;

// clang-format off
std::vector<BadDirectory> bad_indexes() {
    return {
        {"index empty", index_is(""), {kIndex, "not valid JSON"}},
        {"index truncated", index_is(R"({"weight_map":{"a":"one.saf)"), {kIndex, "not valid JSON"}},
        {"index is an array", index_is("[]"), {kIndex, "not a JSON object"}},
        {"index is null", index_is("null"), {kIndex, "not a JSON object"}},
        {"index is binary", index_is(std::string("\0\1\2\3", 4)), {kIndex, "not valid JSON"}},
        {"index without weight_map", index_is(R"({"metadata":{}})"), {kIndex, "no weight_map"}},
        {"weight_map empty", index_is(R"({"weight_map":{}})"), {kIndex, "weight_map is empty"}},
        {"weight_map is a list", index_is(R"({"weight_map":["a"]})"), {kIndex, "weight_map has to be an object"}},
        {"weight_map is null", index_is(R"({"weight_map":null})"), {kIndex, "weight_map has to be an object"}},
        {"weight_map twice", index_is(R"({"weight_map":{"a":"one.safetensors"},"weight_map":{"b":"one.safetensors"}})"), {kIndex, "\"weight_map\"", "twice"}},
        {"tensor twice in the index", index_is(R"({"weight_map":{"a":"one.safetensors","a":"two.safetensors"}})"), {kIndex, "\"a\"", "twice"}},
        {"shard is a number", shard_of_a_is("1"), {kIndex, "tensor \"a\"", "has to be a string"}},
        {"shard is null", shard_of_a_is("null"), {kIndex, "tensor \"a\"", "has to be a string"}},
        {"shard is a list", shard_of_a_is(R"(["one.safetensors"])"), {kIndex, "tensor \"a\"", "has to be a string"}},
        {"shard name empty", shard_of_a_is(R"("")"), {kIndex, "tensor \"a\"", "not a plain file name"}},
        {"shard in the parent directory", shard_of_a_is(R"("../one.safetensors")"), {kIndex, "tensor \"a\"", "not a plain file name"}},
        {"shard is the parent directory", shard_of_a_is(R"("..")"), {kIndex, "not a plain file name"}},
        {"shard is the directory itself", shard_of_a_is(R"(".")"), {kIndex, "not a plain file name"}},
        {"shard with an absolute path", shard_of_a_is(R"("/etc/passwd")"), {kIndex, "\"/etc/passwd\"", "not a plain file name"}},
        {"shard in a subdirectory", shard_of_a_is(R"("x/one.safetensors")"), {kIndex, "not a plain file name"}},
        {"shard with a backslash", shard_of_a_is(R"("..\\one.safetensors")"), {kIndex, "not a plain file name"}},
        {"shard with a zero byte", shard_of_a_is(R"("one.safetensors\u0000")"), {kIndex, "not a plain file name"}},
        {"shard name of 300 bytes", shard_of_a_is("\"" + std::string(300, 'x') + "\""), {kIndex, "not a plain file name"}},
        {"shard with a control character", shard_of_a_is(R"("\u001b[2J/x")"), {kIndex, "?[2J/x"}},
        {"invalid UTF-8 in the index", index_is("{\"weight_map\":{\"\xff\":\"one.safetensors\"}}"), {kIndex, "not valid JSON", "UTF-8"}},
        {"index nested 100,000 deep", index_is("{\"x\":" + std::string(100000, '[')), {kIndex, "nested deeper than the 8"}},
        {"metadata nested 9 deep", index_is(R"({"metadata":[[[[[[[[]]]]]]]],"weight_map":{"a":"one.safetensors"}})"), {kIndex, "nested deeper than the 8"}},
        {"index is a directory", [](D d) { fs::remove(d.file(kIndex)); fs::create_directory(d.file(kIndex)); }, {kIndex, "is a directory"}},
        {"index is a fifo", [](D d) { fs::remove(d.file(kIndex)); REQUIRE(mkfifo(d.file(kIndex).c_str(), 0600) == 0); }, {kIndex, "not a regular file"}},
        {"index is a dangling link", [](D d) { fs::remove(d.file(kIndex)); fs::create_symlink("nowhere", d.file(kIndex)); }, {kIndex, "No such file"}},
        {"index is past its size limit", [](D d) { fs::resize_file(d.file(kIndex), 200'000'001); }, {kIndex, "200000001 bytes", "at most"}},
    };
}

std::vector<BadDirectory> bad_shards() {
    return {
        {"directory missing", [](D d) { fs::remove_all(d.path); }, {"not a directory"}},
        {"directory is a file", [](D d) { fs::remove_all(d.path); write_text(d.path.string(), "x"); }, {"not a directory"}},
        {"directory empty", [](D d) { for (const auto& entry : fs::directory_iterator(d.path)) fs::remove(entry.path()); }, {"neither", "model.safetensors"}},
        {"no index but several shards", [](D d) { fs::remove(d.file(kIndex)); }, {"neither", kIndex}},
        {"single file is a directory", [](D d) { fs::remove(d.file(kIndex)); fs::create_directory(d.file("model.safetensors")); }, {"model.safetensors", "is a directory"}},
        {"single file is empty", [](D d) { fs::remove(d.file(kIndex)); write_text(d.file("model.safetensors"), ""); }, {"model.safetensors", "0 bytes"}},
        {"shard missing", [](D d) { fs::remove(d.file("two.safetensors")); }, {"shard 2 of 2", "two.safetensors", "No such file"}},
        {"shard is a directory", [](D d) { fs::remove(d.file("two.safetensors")); fs::create_directory(d.file("two.safetensors")); }, {"two.safetensors", "is a directory"}},
        {"shard is a fifo", [](D d) { fs::remove(d.file("two.safetensors")); REQUIRE(mkfifo(d.file("two.safetensors").c_str(), 0600) == 0); }, {"two.safetensors", "not a regular file"}},
        {"shard is a device", [](D d) { fs::remove(d.file("two.safetensors")); fs::create_symlink("/dev/zero", d.file("two.safetensors")); }, {"two.safetensors", "not a regular file"}},
        {"shard is a link to itself", [](D d) { fs::remove(d.file("two.safetensors")); fs::create_symlink("two.safetensors", d.file("two.safetensors")); }, {"two.safetensors", "symbolic links"}},
        {"shard empty", [](D d) { write_text(d.file("two.safetensors"), ""); }, {"two.safetensors", "0 bytes"}},
        {"shard is a pointer to large file storage", [](D d) { write_text(d.file("two.safetensors"), "version https://git-lfs.github.com/spec/v1\n"); }, {"two.safetensors", "is this a safetensors file"}},
        {"shard cut by one byte", [](D d) { fs::resize_file(d.file("two.safetensors"), fs::file_size(d.file("two.safetensors")) - 1); }, {"two.safetensors", "tensor \"c\"", "pass the end"}},
        {"shard one byte too long", [](D d) { fs::resize_file(d.file("two.safetensors"), fs::file_size(d.file("two.safetensors")) + 1); }, {"two.safetensors", "gap"}},
        {"shard of a sparse terabyte", [](D d) { write_text(d.file("two.safetensors"), std::string("\0\0\0\0\x80\0\0\0", 8)); fs::resize_file(d.file("two.safetensors"), std::uintmax_t{1} << 40); }, {"two.safetensors", "at most"}},
        {"tensor missing from its shard", [](D d) { write_safetensors(d.file("two.safetensors"), {counted_tensor("x", DType::u8, {9})}); }, {"two.safetensors", "tensor \"c\"", "missing from this shard"}},
        {"tensor in another shard than indexed", [](D d) { write_text(d.file(kIndex), index_text({{"a", "one.safetensors"}, {"b", "two.safetensors"}, {"c", "two.safetensors"}})); }, {"one.safetensors", "tensor \"b\"", "two.safetensors"}},
        {"tensor in two shards", [](D d) { write_safetensors(d.file("two.safetensors"), {counted_tensor("b", DType::u8, {9}), counted_tensor("c", DType::u8, {9})}); }, {"two.safetensors", "tensor \"b\"", "duplicate", "one.safetensors"}},
        {"tensor with and without prefix", [](D d) { fs::remove(d.file(kIndex)); write_safetensors(d.file("model.safetensors"), {counted_tensor("x", DType::u8, {9}), counted_tensor("language_model.x", DType::u8, {9})}); }, {"model.safetensors", "x\"", "duplicate"}},
    };
}
// clang-format on

void check_all_refused(const std::vector<BadDirectory>& cases) {
    for (const BadDirectory& bad : cases) {
        const TemporaryDirectory directory;
        write_good_checkpoint(directory);
        bad.damage(directory);
        check_refused(bad.name, bad.parts, [&] { Checkpoint{directory.path.string()}; });
    }
}

}  // namespace

TEST_CASE("the checkpoint that the bad cases damage is good") {
    const TemporaryDirectory directory;
    write_good_checkpoint(directory);
    CHECK(Checkpoint(directory.path.string()).tensors().size() == 3);
}

TEST_CASE("bad index files are refused with file, tensor and reason") {
    check_all_refused(bad_indexes());
}

TEST_CASE("bad shards are refused with file, tensor and reason") {
    check_all_refused(bad_shards());
}

TEST_CASE("a shard that shrinks after it was opened is refused when it is loaded") {
    const TemporaryDirectory directory;
    write_good_checkpoint(directory);
    const Checkpoint checkpoint(directory.path.string());
    fs::resize_file(directory.file("two.safetensors"), 10);
    check_refused("shard shrinks after opening", {"two.safetensors", "now has 10"}, [&] {
        load_into_page_cache(
            checkpoint, [](std::string_view) { return true; }, 2, [](const LoadProgress&) {});
    });
}

TEST_CASE("a shard that shrinks while it is loaded is refused, not a crash") {
    const TemporaryDirectory directory;
    const std::string path = directory.file("model.safetensors");
    write_safetensors(path, {counted_tensor("a", DType::u8, {1 << 20})});
    const Checkpoint checkpoint(directory.path.string());
    const auto shrink = [&](std::string_view) {
        fs::resize_file(path, 10);
        return true;
    };
    check_refused("shard shrinks during loading", {"model.safetensors", "now has 10"},
                  [&] { load_into_page_cache(checkpoint, shrink, 2, [](const LoadProgress&) {}); });
}
