#include "base/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <utility>

#include "base/error.h"

namespace baltoro {
namespace {

// What the SIGBUS handler may read: fixed slots of atomics, since a handler can neither lock nor
// allocate. A checkpoint of this family has at most a few hundred shards.
struct MappedRange {
    std::atomic<const std::byte*> data{nullptr};
    std::atomic<std::size_t> size{0};
    std::array<char, 256> path{};
};
std::array<MappedRange, 1024> g_ranges;

void register_range(const std::byte* data, std::size_t size, const std::string& path) noexcept {
    for (MappedRange& range : g_ranges) {
        std::size_t free_slot = 0;
        if (!range.size.compare_exchange_strong(free_slot, size)) continue;
        const std::size_t length = std::min(path.size(), range.path.size() - 1);
        std::memcpy(range.path.data(), path.data() + path.size() - length, length);
        range.path[length] = '\0';
        range.data.store(data);
        return;
    }
}

void unregister_range(const std::byte* data) noexcept {
    for (MappedRange& range : g_ranges) {
        if (range.data.load() != data) continue;
        range.data.store(nullptr);
        range.size.store(0);
        return;
    }
}

void write_text(const char* text) noexcept {
    const ssize_t ignored = write(STDERR_FILENO, text, std::strlen(text));
    static_cast<void>(ignored);
}

void report_vanished_bytes(int signal_number, siginfo_t* info, void* /*context*/) {
    const auto* address = static_cast<const std::byte*>(info->si_addr);
    for (const MappedRange& range : g_ranges) {
        const std::byte* data = range.data.load();
        if (data == nullptr || address < data || address >= data + range.size.load()) continue;
        write_text("error: ");
        write_text(range.path.data());
        write_text(
            ": the file shrank or could not be read while it was in use; restore it and start "
            "again\n");
        _exit(1);
    }
    std::signal(signal_number, SIG_DFL);
    raise(signal_number);
}

struct stat stat_regular_file(const std::string& path) {
    struct stat status {};
    if (stat(path.c_str(), &status) != 0) throw system_error(path + ": cannot open", errno);
    if (S_ISDIR(status.st_mode)) throw Error(path + ": is a directory, expected a regular file");
    if (!S_ISREG(status.st_mode))
        throw Error(path + ": is not a regular file (fifo, socket or device)");
    return status;
}

Error changed_size(const std::string& path, std::size_t size_then, off_t size_now) {
    return Error(path + ": had " + std::to_string(size_then) + " bytes when opened and now has " +
                 std::to_string(size_now) + "; restore the file and start again");
}

// Owns a descriptor for the length of a scope.
class Descriptor {
  public:
    explicit Descriptor(const std::string& path)
        : number_(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {
        if (number_ < 0) throw system_error(path + ": cannot open", errno);
    }
    ~Descriptor() {
        if (number_ >= 0) close(number_);
    }
    Descriptor(const Descriptor&) = delete;
    Descriptor& operator=(const Descriptor&) = delete;
    int number() const noexcept { return number_; }
    int release() noexcept { return std::exchange(number_, -1); }

  private:
    int number_;
};

}  // namespace

MappedFile::MappedFile(const std::string& path) : path_(path) {
    stat_regular_file(path);
    Descriptor file(path);
    struct stat status {};
    if (fstat(file.number(), &status) != 0) throw system_error(path + ": cannot stat", errno);
    size_ = static_cast<std::size_t>(status.st_size);
    if (size_ == 0) return;
    void* address = mmap(nullptr, size_, PROT_READ, MAP_SHARED, file.number(), 0);
    if (address == MAP_FAILED) throw system_error(path + ": cannot map", errno);
    // Where the file system has large folios (ext4, XFS on recent kernels), what is read through
    // this mapping then comes into the page cache in 2 MB pieces and is mapped as such; elsewhere
    // nothing changes, so the result does not matter.
    madvise(address, size_, MADV_HUGEPAGE);
    data_ = static_cast<const std::byte*>(address);
    descriptor_ = file.release();
    register_range(data_, size_, path_);
}

MappedFile::~MappedFile() {
    unmap();
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : path_(std::move(other.path_)),
      data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)),
      descriptor_(std::exchange(other.descriptor_, -1)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
    if (this == &other) return *this;
    unmap();
    path_ = std::move(other.path_);
    data_ = std::exchange(other.data_, nullptr);
    size_ = std::exchange(other.size_, 0);
    descriptor_ = std::exchange(other.descriptor_, -1);
    return *this;
}

void MappedFile::check_size_unchanged() const {
    const struct stat status = stat_regular_file(path_);
    if (static_cast<std::size_t>(status.st_size) == size_) return;
    throw changed_size(path_, size_, status.st_size);
}

void MappedFile::drop_cached(std::size_t offset, std::size_t size) const noexcept {
    posix_fadvise(descriptor_, static_cast<off_t>(offset), static_cast<off_t>(size),
                  POSIX_FADV_DONTNEED);
}

void MappedFile::unmap() noexcept {
    if (data_ == nullptr) return;
    unregister_range(data_);
    munmap(const_cast<std::byte*>(data_), size_);
    close(descriptor_);
    data_ = nullptr;
}

// By /proc, because the name may by now be another file's. Where that fails (no /proc, too many
// open files) the file's own descriptor serves, with less reading ahead.
FileReader::FileReader(const MappedFile& file) noexcept
    : file_(file),
      own_descriptor_(open(("/proc/self/fd/" + std::to_string(file.descriptor_)).c_str(),
                           O_RDONLY | O_CLOEXEC)) {}

FileReader::~FileReader() {
    if (own_descriptor_ >= 0) close(own_descriptor_);
}

void FileReader::read(std::size_t offset, std::span<std::byte> dst) const {
    const int descriptor = own_descriptor_ >= 0 ? own_descriptor_ : file_.descriptor_;
    while (!dst.empty()) {
        const ssize_t n = pread(descriptor, dst.data(), dst.size(), static_cast<off_t>(offset));
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) {
            throw system_error(file_.path_ + ": cannot read " + std::to_string(dst.size()) +
                                   " bytes at offset " + std::to_string(offset),
                               errno);
        }
        if (n == 0) {
            struct stat status {};
            fstat(descriptor, &status);
            throw changed_size(file_.path_, file_.size_, status.st_size);
        }
        offset += static_cast<std::size_t>(n);
        dst = dst.subspan(static_cast<std::size_t>(n));
    }
}

void guard_mapped_files() noexcept {
    struct sigaction action {};
    action.sa_sigaction = report_vanished_bytes;
    action.sa_flags = SA_SIGINFO;
    sigaction(SIGBUS, &action, nullptr);
}

std::string read_small_file(const std::string& path, std::size_t limit_bytes) {
    const struct stat status = stat_regular_file(path);
    const auto size = static_cast<std::size_t>(status.st_size);
    if (size > limit_bytes) {
        throw Error(path + ": has " + std::to_string(size) + " bytes, at most " +
                    std::to_string(limit_bytes) + " are accepted");
    }
    const Descriptor file(path);
    std::string text(size, '\0');
    std::size_t done = 0;
    while (done < size) {
        const ssize_t n = read(file.number(), text.data() + done, size - done);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) throw system_error(path + ": cannot read", errno);
        if (n == 0) throw Error(path + ": shrank while it was read");
        done += static_cast<std::size_t>(n);
    }
    return text;
}

}  // namespace baltoro
