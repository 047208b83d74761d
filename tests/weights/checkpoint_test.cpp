#include "weights/checkpoint.h"

#include <string>

#include <doctest/doctest.h>

#include "base/error.h"
#include "tests/weights/temporary_checkpoint.h"

using namespace baltoro;
using namespace baltoro::testing;

TEST_CASE("shards are opened through the index") {
    const TemporaryDirectory directory;
    write_safetensors(directory.file("one.safetensors"), {counted_tensor("a", DType::f32, {2, 3})});
    write_safetensors(directory.file("two.safetensors"),
                      {counted_tensor("c", DType::bf16, {4}), counted_tensor("b", DType::u8, {7})});
    write_text(
        directory.file("model.safetensors.index.json"),
        index_text({{"c", "two.safetensors"}, {"a", "one.safetensors"}, {"b", "two.safetensors"}}));
    const Checkpoint checkpoint(directory.path.string());
    CHECK(checkpoint.shards().size() == 2);
    CHECK(checkpoint.tensors().size() == 3);
    CHECK(checkpoint.total_bytes() == 24 + 8 + 7);
    REQUIRE(checkpoint.find("b") != nullptr);
    CHECK(checkpoint.find("b")->size_bytes == 7);
    CHECK(checkpoint.find("b")->data[6] == std::byte{6});
    CHECK(checkpoint.find("d") == nullptr);
    CHECK(checkpoint.shard_of("a") == directory.file("one.safetensors"));
    CHECK(checkpoint.shard_of("c") == directory.file("two.safetensors"));
    CHECK(checkpoint.shard_of("d").empty());
}

TEST_CASE("one file needs no index, and the language model's prefix is dropped") {
    const TemporaryDirectory directory;
    write_safetensors(directory.file("model.safetensors"),
                      {counted_tensor("language_model.model.norm.weight", DType::bf16, {4}),
                       counted_tensor("vision_tower.x", DType::f64, {2})});
    const Checkpoint checkpoint(directory.path.string());
    CHECK(checkpoint.find("model.norm.weight") != nullptr);
    CHECK(checkpoint.find("language_model.model.norm.weight") == nullptr);
    CHECK(checkpoint.find("vision_tower.x") != nullptr);
}

TEST_CASE("a tensor that is in no index is left out") {
    const TemporaryDirectory directory;
    write_safetensors(directory.file("one.safetensors"),
                      {counted_tensor("a", DType::f32, {1}), counted_tensor("b", DType::f32, {1})});
    write_text(directory.file("model.safetensors.index.json"),
               index_text({{"a", "one.safetensors"}}));
    const Checkpoint checkpoint(directory.path.string());
    CHECK(checkpoint.find("a") != nullptr);
    CHECK(checkpoint.find("b") == nullptr);
}

TEST_CASE("shards may be symbolic links, as in download caches") {
    const TemporaryDirectory directory;
    std::filesystem::create_directory(directory.path / "blobs");
    std::filesystem::create_directory(directory.path / "snapshot");
    write_safetensors(directory.file("blobs/17"), {counted_tensor("a", DType::f32, {1})});
    std::filesystem::create_symlink("../blobs/17", directory.path / "snapshot/model.safetensors");
    CHECK(Checkpoint(directory.file("snapshot")).find("a") != nullptr);
}

TEST_CASE("a required tensor that differs is named with its shard, what was expected and found") {
    const TemporaryDirectory directory;
    write_safetensors(directory.file("model.safetensors"),
                      {counted_tensor("a", DType::bf16, {2, 3})});
    const Checkpoint checkpoint(directory.path.string());
    CHECK(checkpoint.require("a", DType::bf16, {2, 3}).size_bytes == 12);
    CHECK_THROWS_WITH_AS(checkpoint.require("b", DType::bf16, {2, 3}),
                         doctest::Contains("tensor b is missing from /"), Error);
    CHECK_THROWS_WITH_AS(
        checkpoint.require("a", DType::f32, {2, 3}),
        doctest::Contains("model.safetensors: tensor a: expected F32 [2, 3], found BF16 [2, 3]"),
        Error);
    CHECK_THROWS_WITH_AS(checkpoint.require("a", DType::bf16, {3, 2}),
                         doctest::Contains("expected BF16 [3, 2], found BF16 [2, 3]"), Error);
    CHECK_THROWS_AS(checkpoint.require("a", DType::bf16, {2, 3, 1}), Error);
}

TEST_CASE("the oracle checkpoints open") {
    for (const std::string name : {"k2-tiny", "moonlight-tiny"}) {
        CAPTURE(name);
        const std::string directory = std::string(BALTORO_GOLDEN_DIR) + "/oracle/" + name;
        if (!std::filesystem::exists(directory)) {
            MESSAGE("skipped: no " << directory);
            return;
        }
        const Checkpoint checkpoint(directory);
        CHECK(checkpoint.shards().size() == 2);
        CHECK(checkpoint.find("model.embed_tokens.weight") != nullptr);
        CHECK(checkpoint.find("lm_head.weight") != nullptr);
    }
}
