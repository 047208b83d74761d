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

    // Hint to the kernel that bytes [offset, offset + size) are not read again, so that those no
    // process has mapped or changed leave the page cache.
    void drop_cached(std::size_t offset, std::size_t size) const noexcept;

  private:
    friend class FileReader;
    void unmap() noexcept;

    std::string path_;
    const std::byte* data_ = nullptr;
    std::size_t size_ = 0;
    int descriptor_ = -1;
};

// Reads a mapped file without touching its mapping: no page fault per 4 KB, and an Error, not a
// signal, where it shrank or the disk fails. The kernel reads ahead of each reader on its own, in
// large pages, so threads that read different parts of a file have one each. The file must outlive
// it. One thread.
class FileReader {
  public:
    explicit FileReader(const MappedFile& file) noexcept;
    ~FileReader();
    FileReader(const FileReader&) = delete;
    FileReader& operator=(const FileReader&) = delete;

    const MappedFile& file() const noexcept { return file_; }

    // Fills `dst` with the bytes from `offset` on, which are inside the mapping. Throws Error
    // naming the file.
    void read(std::size_t offset, std::span<std::byte> dst) const;

  private:
    const MappedFile& file_;
    int own_descriptor_;
};

// Installs a SIGBUS handler that names the mapped file whose bytes vanished, says what to do, and
// ends the process with exit code 1. Faults outside every MappedFile keep the default action. Call
// once from `main`.
void guard_mapped_files() noexcept;

// The whole of a small regular file. Throws Error, also if it is larger than `limit_bytes`.
std::string read_small_file(const std::string& path, std::size_t limit_bytes);

}  // namespace baltoro
