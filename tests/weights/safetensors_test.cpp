#include "weights/safetensors.h"

#include <cstring>
#include <string>

#include <doctest/doctest.h>

#include "base/error.h"
#include "tests/weights/temporary_checkpoint.h"

using namespace baltoro;
using namespace baltoro::testing;

TEST_CASE("what is written is read back, whatever the number of threads") {
    const TemporaryDirectory directory;
    const std::string path = directory.file("a.safetensors");
    const std::vector<TensorToWrite> tensors = {
        counted_tensor("codes", DType::f8_e4m3, {3, 5}),
        counted_tensor("empty", DType::bf16, {0, 7}),
        counted_tensor("large", DType::bf16, {2500, 1001}),  // more than one slice
        counted_tensor("name with \"quotes\" and \\", DType::f32, {2, 3}),
        counted_tensor("scalar", DType::i64, {})};
    for (const int n_threads : {1, 3}) {
        CAPTURE(n_threads);
        write_safetensors(path, tensors, n_threads);
        const SafetensorsFile file(path);
        REQUIRE(file.entries().size() == tensors.size());
        for (const TensorToWrite& tensor : tensors) {
            CAPTURE(tensor.name);
            const TensorEntry* entry = nullptr;
            for (const TensorEntry& candidate : file.entries()) {
                if (candidate.name == tensor.name) entry = &candidate;
            }
            REQUIRE(entry != nullptr);
            const TensorView view = file.view(*entry);
            CHECK(view.dtype == tensor.dtype);
            CHECK(view.shape == tensor.shape);
            std::vector<std::byte> expected(view.size_bytes);
            tensor.fill(0, expected);
            CHECK((expected.empty() ||
                   std::memcmp(expected.data(), view.data, expected.size()) == 0));
            CHECK(reinterpret_cast<std::uintptr_t>(view.data) % dtype_bytes(view.dtype) == 0);
        }
    }
}

TEST_CASE("slices of a written tensor begin at multiples of the slice size") {
    const TemporaryDirectory directory;
    TensorToWrite tensor{.name = "a", .dtype = DType::u8, .shape = {10 << 20}, .fill = {}};
    std::vector<std::uint64_t> offsets;
    tensor.fill = [&](std::uint64_t offset, std::span<std::byte>) { offsets.push_back(offset); };
    write_safetensors(directory.file("a"), {tensor});
    CHECK(offsets == std::vector<std::uint64_t>{0, kTensorSliceBytes, 2 * kTensorSliceBytes});
}

TEST_CASE("a failed write leaves no file behind") {
    const TemporaryDirectory directory;
    TensorToWrite tensor{.name = "a", .dtype = DType::u8, .shape = {100 << 20}, .fill = {}};
    tensor.fill = [](std::uint64_t offset, std::span<std::byte>) {
        if (offset > 0) throw Error("no more bytes");
    };
    CHECK_THROWS_WITH_AS(write_safetensors(directory.file("a"), {tensor}, 2), "no more bytes",
                         Error);
    CHECK(std::filesystem::is_empty(directory.path));
}

TEST_CASE("two tensors of one name are not written") {
    const TemporaryDirectory directory;
    const TensorToWrite tensor = counted_tensor("a", DType::u8, {1});
    CHECK_THROWS_AS(write_safetensors(directory.file("a"), {tensor, tensor}), Error);
    CHECK_THROWS_WITH_AS(write_safetensors(directory.file("no/such/place"), {tensor}),
                         doctest::Contains("No such file"), Error);
    CHECK(std::filesystem::is_empty(directory.path));
}

TEST_CASE("a header may be padded, hold metadata and list tensors out of order") {
    const TemporaryDirectory directory;
    const std::string header = R"({"b":{"dtype":"I32","shape":[1],"data_offsets":[4,8]},)"
                               R"("__metadata__":{"format":"pt"},)"
                               R"("z":{"dtype":"F64","shape":[3,0],"data_offsets":[4,4]},)"
                               R"("a":{"shape":[2,2],"data_offsets":[0,4],"dtype":"F8_E5M2"}}   )";
    const SafetensorsFile file(
        write_text(directory.file("a.safetensors"), safetensors_text(header, 8)));
    REQUIRE(file.entries().size() == 3);
    CHECK(file.entries()[0].name == "a");
    CHECK(file.entries()[1].name == "z");
    CHECK(file.entries()[2].name == "b");
    CHECK(file.view(file.entries()[2]).data == file.file().bytes().data() + 8 + header.size() + 4);
}
