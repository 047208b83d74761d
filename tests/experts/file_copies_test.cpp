#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "base/error.h"
#include "experts/copied_experts.h"
#include "experts/expert_reader.h"
#include "tests/experts/plain_kernels.h"
#include "tests/experts/random_experts.h"
#include "tests/weights/temporary_checkpoint.h"
#include "weights/safetensors.h"

using namespace baltoro;
using namespace baltoro::experts;
using baltoro::kernels::Weight;
using baltoro::kernels::WeightFormat;
using baltoro::testing::RandomExperts;
using baltoro::testing::TemporaryDirectory;
using baltoro::testing::weight_at;

namespace {

// Rows of 456 bytes of fp8, so that pieces begin and end anywhere; down's do not fit the buffer
// that distributes them at once.
constexpr ExpertShapes kShapes{1000, 456, 2, 10};
constexpr int kExperts = 8;
constexpr int kLayers = 2;
const std::string kOneNode = "numa:1 core:3 pu:1";
const std::string kTwoNodes = "numa:2 core:2 pu:1";

std::int64_t n_blocks(int n) {
    return (n + kernels::kScaleBlock - 1) / kernels::kScaleBlock;
}

TensorToWrite tensor_of(std::string name,
                        DType dtype,
                        const void* data,
                        std::vector<std::int64_t> shape) {
    return {std::move(name), dtype, std::move(shape),
            [data](std::uint64_t offset, std::span<std::byte> dst) {
                std::memcpy(dst.data(), static_cast<const std::byte*>(data) + offset, dst.size());
            }};
}

std::vector<TensorToWrite> tensors_of(const ExpertWeights& expert, const std::string& prefix) {
    std::vector<TensorToWrite> tensors;
    const auto add = [&](const std::string& name, const Weight& w) {
        const bool is_bf16 = w.format == WeightFormat::bf16;
        tensors.push_back(
            tensor_of(prefix + name, is_bf16 ? DType::bf16 : DType::f8_e4m3, w.data, {w.n, w.k}));
        if (is_bf16) return;
        tensors.push_back(tensor_of(prefix + name + ".scale", DType::f32, w.scale,
                                    {n_blocks(w.n), n_blocks(w.k)}));
    };
    add("gate", expert.gate);
    add("up", expert.up);
    add("down", expert.down);
    return tensors;
}

// The experts of a store written to one file per layer, and a store of the mapped files.
class FileExperts {
  public:
    explicit FileExperts(const ExpertStore& experts) : store_(mapped(experts)) {}

    const ExpertStore& store() const { return store_; }
    const std::vector<SafetensorsFile>& files() const { return files_; }
    int n_pages(int layer) const;
    int n_resident_pages(int layer) const;
    // As far as the file system lets them go.
    void drop_cached() const;

  private:
    ExpertStore mapped(const ExpertStore& experts);
    Weight found(int layer, const std::string& name, const Weight& shape) const;

    TemporaryDirectory directory_;
    std::vector<SafetensorsFile> files_;
    ExpertStore store_;
};

ExpertStore FileExperts::mapped(const ExpertStore& experts) {
    std::vector<ExpertWeights> all;
    for (int layer = 0; layer < experts.n_moe_layers(); ++layer) {
        std::vector<TensorToWrite> tensors;
        for (int e = 0; e < experts.n_experts(); ++e)
            for (TensorToWrite& t : tensors_of(experts.expert(layer, e), std::to_string(e)))
                tensors.push_back(std::move(t));
        const std::string path = directory_.file("shard-" + std::to_string(layer));
        write_safetensors(path, tensors);
        files_.emplace_back(path);
        for (int e = 0; e < experts.n_experts(); ++e) {
            const ExpertWeights& expert = experts.expert(layer, e);
            all.push_back({found(layer, std::to_string(e) + "gate", expert.gate),
                           found(layer, std::to_string(e) + "up", expert.up),
                           found(layer, std::to_string(e) + "down", expert.down)});
        }
    }
    return {experts.n_moe_layers(), experts.n_experts(), std::move(all)};
}

Weight FileExperts::found(int layer, const std::string& name, const Weight& shape) const {
    Weight weight{nullptr, nullptr, shape.n, shape.k, shape.k, shape.format};
    for (const TensorEntry& entry : files_[layer].entries()) {
        const TensorView view = files_[layer].view(entry);
        if (entry.name == name) weight.data = view.data;
        if (entry.name == name + ".scale") weight.scale = view.as<float>();
    }
    REQUIRE(weight.data != nullptr);
    return weight;
}

int FileExperts::n_pages(int layer) const {
    return static_cast<int>(files_[layer].file().bytes().size()) /
           static_cast<int>(sysconf(_SC_PAGESIZE));
}

void FileExperts::drop_cached() const {
    for (const SafetensorsFile& file : files_) {
        const int descriptor = open(file.path().c_str(), O_RDONLY | O_CLOEXEC);
        REQUIRE(fsync(descriptor) == 0);  // changed pages do not leave
        close(descriptor);
        file.file().drop_cached(0, file.file().bytes().size());
    }
}

int FileExperts::n_resident_pages(int layer) const {
    const std::span<const std::byte> bytes = files_[layer].file().bytes();
    const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
    std::vector<unsigned char> resident((bytes.size() + page - 1) / page);
    REQUIRE(mincore(const_cast<std::byte*>(bytes.data()), bytes.size(), resident.data()) == 0);
    int n = 0;
    for (const unsigned char is_resident : resident)
        n += is_resident & 1;
    return n;
}

// A machine and its team; the workers are not pinned, so this one need not be like it.
struct Machine {
    numa::Topology topology;
    numa::Team team;
    Placement placement;

    Machine(const std::string& description, int n_threads)
        : topology(numa::synthetic_topology(description)),
          team(unpinned(topology, n_threads), 0),
          placement(place_experts(team, kShapes.moe_intermediate_size)) {}

    CopiedExperts copy(const CopySource& source) {
        return CopiedExperts(source, placement, topology, team);
    }

    static std::vector<numa::WorkerPlace> unpinned(const numa::Topology& topology, int n_threads) {
        std::vector<numa::WorkerPlace> places = numa::place_workers(topology, n_threads);
        for (numa::WorkerPlace& place : places)
            place.cpu = -1;
        return places;
    }
};

int n_different(const Weight& a, const Weight& b) {
    REQUIRE(a.n == b.n);
    REQUIRE(a.k == b.k);
    int n = 0;
    for (int i = 0; i < a.n; ++i)
        for (int j = 0; j < a.k; ++j)
            n += weight_at(a, i, j) != weight_at(b, i, j);
    return n;
}

void check_equal(const CopiedExperts& a, const CopiedExperts& b) {
    REQUIRE(a.node_stores().size() == b.node_stores().size());
    for (std::size_t node = 0; node < a.node_stores().size(); ++node) {
        for (int i = 0; i < kLayers * kExperts; ++i) {
            CAPTURE(node);
            CAPTURE(i);
            const ExpertWeights& x = a.node_stores()[node].expert(i / kExperts, i % kExperts);
            const ExpertWeights& y = b.node_stores()[node].expert(i / kExperts, i % kExperts);
            CHECK(n_different(x.gate, y.gate) == 0);
            CHECK(n_different(x.up, y.up) == 0);
            CHECK(n_different(x.down, y.down) == 0);
        }
    }
}

}  // namespace

TEST_CASE("copies read from files are those of the same experts in memory") {
    for (const WeightFormat format : {WeightFormat::bf16, WeightFormat::fp8_block}) {
        const RandomExperts experts(1, kShapes, kLayers, kExperts, format);
        const FileExperts files(experts.store());
        for (const std::string& description : {kOneNode, kTwoNodes}) {
            for (const int n_threads : {2, 3, 64}) {
                CAPTURE(description);
                CAPTURE(n_threads);
                Machine machine(description, n_threads);
                check_equal(machine.copy({files.store(), files.files()}),
                            machine.copy({experts.store()}));
            }
        }
    }
}

TEST_CASE("copies are read from the opened file when another takes its name") {
    const RandomExperts experts(2, kShapes, kLayers, kExperts, WeightFormat::fp8_block);
    const FileExperts files(experts.store());
    testing::write_text(files.files()[0].path() + ".new", "not a shard");
    REQUIRE(std::rename((files.files()[0].path() + ".new").c_str(),
                        files.files()[0].path().c_str()) == 0);
    Machine machine(kOneNode, 2);
    check_equal(machine.copy({files.store(), files.files()}), machine.copy({experts.store()}));
}

TEST_CASE("a shard that shrank is an error that names it, on any number of nodes") {
    const RandomExperts experts(3, kShapes, kLayers, kExperts, WeightFormat::fp8_block);
    for (const std::string& description : {kOneNode, kTwoNodes}) {
        const FileExperts files(experts.store());
        const std::string& path = files.files()[1].path();
        REQUIRE(truncate(path.c_str(), 100'000) == 0);
        Machine machine(description, 3);
        CHECK_THROWS_WITH_AS(machine.copy({files.store(), files.files()}),
                             doctest::Contains("shard-1: had "), Error);
        CHECK_THROWS_WITH_AS(machine.copy({files.store(), files.files()}),
                             doctest::Contains("now has 100000; restore the file"), Error);
    }
}

TEST_CASE("what is copied leaves the page cache where it may not stay") {
    const RandomExperts experts(4, kShapes, kLayers, kExperts, WeightFormat::fp8_block);
    const FileExperts files(experts.store());
    files.drop_cached();
    // The headers' pages are mapped and stay.
    const int n_at_first = files.n_resident_pages(0);
    const int n_pages = files.n_pages(0);
    if (n_at_first > n_pages / 2) {
        MESSAGE("skipped: this file system keeps its pages, ", n_at_first, " of ", n_pages);
        return;
    }
    Machine machine(kTwoNodes, 3);
    machine.copy({files.store(), files.files()});
    CHECK(files.n_resident_pages(0) >= n_pages);
    machine.copy({files.store(), files.files(), false});
    CHECK(files.n_resident_pages(0) <= n_at_first);
    CHECK(files.n_resident_pages(1) <= n_pages / 2);
}

TEST_CASE("an expert that is read by itself is the one in the file") {
    for (const WeightFormat format : {WeightFormat::bf16, WeightFormat::fp8_block}) {
        const RandomExperts experts(5, kShapes, kLayers, kExperts, format);
        const FileExperts files(experts.store());
        ExpertReader reader(files.files(), true);
        std::vector<std::byte> memory;
        for (const ExpertStore* store : {&files.store(), &experts.store()}) {
            for (int i = 0; i < kLayers * kExperts; ++i) {
                CAPTURE(i);
                const ExpertWeights& expected = experts.store().expert(i / kExperts, i % kExperts);
                const ExpertWeights read =
                    reader.read(store->expert(i / kExperts, i % kExperts), memory);
                CHECK(read.gate.data == memory.data());
                CHECK(n_different(read.gate, expected.gate) == 0);
                CHECK(n_different(read.up, expected.up) == 0);
                CHECK(n_different(read.down, expected.down) == 0);
            }
        }
    }
}

TEST_CASE("an expert that a shard has lost is an error that names the shard") {
    const RandomExperts experts(6, kShapes, kLayers, kExperts, WeightFormat::fp8_block);
    const FileExperts files(experts.store());
    REQUIRE(truncate(files.files()[1].path().c_str(), 100'000) == 0);
    ExpertReader reader(files.files(), true);
    std::vector<std::byte> memory;
    CHECK_THROWS_WITH_AS(reader.read(files.store().expert(1, 7), memory),
                         doctest::Contains("shard-1: had "), Error);
    CHECK(n_different(reader.read(files.store().expert(0, 7), memory).down,
                      experts.store().expert(0, 7).down) == 0);
}

TEST_CASE("an expert that is read leaves the page cache where it may not stay, mapped or not") {
    // Larger than a page of any size that the cache consists of, so that one goes and others stay.
    const RandomExperts experts(7, {4000, 1500, 2, 10}, 1, 3, WeightFormat::bf16);
    const FileExperts files(experts.store());
    files.drop_cached();
    const int n_pages = files.n_pages(0);
    if (files.n_resident_pages(0) > n_pages / 2) {
        MESSAGE("skipped: this file system keeps its pages");
        return;
    }
    const ExpertWeights& expert = files.store().expert(0, 1);
    std::vector<std::byte> memory;
    ExpertReader(files.files(), true).read(expert, memory);
    const int n_read = files.n_resident_pages(0);
    CHECK(n_read >= n_pages / 3);
    CHECK(n_different(expert.up, experts.store().expert(0, 1).up) == 0);  // by the mapping
    ExpertReader(files.files(), false).read(expert, memory);
    CHECK(files.n_resident_pages(0) < n_read / 2);
}
