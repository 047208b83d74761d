#pragma once

#include <cstddef>
#include <span>
#include <string>

namespace baltoro {

// A regular file mapped read-only and shared with the page cache. Owns the mapping and a
// descriptor, so a file that is replaced under its name stays the one that was opened; moved, never
// copied. Any thread may read. A file that another process truncates while it is mapped raises
// SIGBUS on access: guard_mapped_files() turns that into one clear line.
class MappedFile {
  public:
    // Throws Error if `path` is not a readable regular file (a directory, fifo or device is refused
    // without opening it for reading, so it cannot block).
    explicit MappedFile(const std::string& path);
    ~MappedFile();
    MappedFile(MappedFile&& other) noexcept;
    MappedFile& operator=(MappedFile&& other) noexcept;
    MappedFile(const MappedFile&) = delete;
    MappedFile& operator=(const MappedFile&) = delete;

    std::span<const std::byte> bytes() const noexcept { return {data_, size_}; }
    const std::string& path() const noexcept { return path_; }

    // Throws Error if the file on disk no longer has the mapped size.
    void check_size_unchanged() const;

    // Copies the file's bytes from `offset` on, which are inside the mapping, without touching the
    // mapping: no page fault per 4 KB, and an Error naming the file, not a signal, where it shrank
    // or the disk fails.
    void read(std::size_t offset, std::span<std::byte> dst) const;

    // Hints to the kernel about bytes [offset, offset + size): they are read soon, or not again, so
    // that clean ones that no process has mapped can leave the page cache.
    void will_read(std::size_t offset, std::size_t size) const noexcept;
    void drop_cached(std::size_t offset, std::size_t size) const noexcept;

  private:
    void unmap() noexcept;

    std::string path_;
    const std::byte* data_ = nullptr;
    std::size_t size_ = 0;
    int descriptor_ = -1;
};

// Installs a SIGBUS handler that names the mapped file whose bytes vanished, says what to do, and
// ends the process with exit code 1. Faults outside every MappedFile keep the default action. Call
// once from `main`.
void guard_mapped_files() noexcept;

// The whole of a small regular file. Throws Error, also if it is larger than `limit_bytes`.
std::string read_small_file(const std::string& path, std::size_t limit_bytes);

}  // namespace baltoro
