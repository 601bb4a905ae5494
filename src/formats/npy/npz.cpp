// Zip archives of .npy members. The central directory at the end is what counts; every offset in it is checked.
// Source: PKWARE APPNOTE.TXT 4.3 (local header, central directory, end records) and 4.5.3 (zip64).
#include <cstring>

#include "base/crc32.h"
#include "base/mapped_file.h"
#include "base/text.h"
#include "base/write_file.h"
#include "formats/npy/npy.h"

namespace outpost {
namespace {

constexpr uint32_t local_signature = 0x04034b50, central_signature = 0x02014b50, end_signature = 0x06054b50,
                   end64_signature = 0x06064b50, locator64_signature = 0x07064b50;
constexpr size_t local_bytes = 30, central_bytes = 46, end_bytes = 22, end64_bytes = 56, locator64_bytes = 20;
constexpr uint16_t stored = 0, deflated = 8, zip64_extra = 1;
constexpr uint32_t all_ones = 0xffffffff;

struct Member {
  std::string name;
  std::string_view data;  // as stored
  uint64_t size = 0;      // of the content
  uint16_t method = stored;
  uint32_t crc = 0;
};

class ZipReader {
 public:
  ZipReader(std::string_view file, const std::string& name) : file_(file), name_(name) {}

  std::vector<Member> members() {
    uint64_t at = 0, count = 0;
    find_directory(at, count);
    if (count > file_.size() / central_bytes) refuse("the directory is said to have ", count, " entries");
    std::vector<Member> result;
    for (uint64_t i = 0; i < count; ++i) result.push_back(member(at));
    return result;
  }

 private:
  template <class... A>
  [[noreturn]] void refuse(const A&... what) const { fail(ErrorCode::invalid_model, name_, ": ", what...); }

  template <class T>
  T read(uint64_t at) const {
    if (at > file_.size() || sizeof(T) > file_.size() - at) refuse("the archive ends at byte ", file_.size(), ", within a record");
    T value;
    std::memcpy(&value, file_.data() + at, sizeof value);
    return value;
  }

  void find_directory(uint64_t& at, uint64_t& count) const {
    if (file_.size() < end_bytes) refuse("is no zip archive");
    // A comment of up to 65535 bytes may follow the end record.
    const uint64_t last = file_.size() - end_bytes, first = last > 65535 ? last - 65535 : 0;
    uint64_t end = last;
    while (read<uint32_t>(end) != end_signature) {
      if (end == first) refuse("has no zip end record: not an .npz file, or cut short");
      --end;
    }
    count = read<uint16_t>(end + 10);
    at = read<uint32_t>(end + 16);
    if (end < locator64_bytes || read<uint32_t>(end - locator64_bytes) != locator64_signature) return;
    const auto end64 = read<uint64_t>(end - locator64_bytes + 8);
    if (read<uint32_t>(end64) != end64_signature) refuse("the zip64 end record is not where its locator says");
    count = read<uint64_t>(end64 + 32);
    at = read<uint64_t>(end64 + 48);
  }

  // Sizes and offset that did not fit 32 bits are in the zip64 extra field, in this order.
  void read_zip64(uint64_t extra, uint64_t length, uint64_t* size, uint64_t* compressed, uint64_t* offset) const {
    for (const uint64_t end = extra + length; extra + 4 <= end;) {
      const uint16_t id = read<uint16_t>(extra), bytes = read<uint16_t>(extra + 2);
      uint64_t at = extra + 4;
      extra = at + bytes;
      if (id != zip64_extra) continue;
      for (uint64_t* field : {size, compressed, offset}) {
        if (*field != all_ones) continue;
        if (at + 8 > extra) refuse("a zip64 field is too short");
        *field = read<uint64_t>(at);
        at += 8;
      }
    }
  }

  Member member(uint64_t& at) const {
    if (read<uint32_t>(at) != central_signature) refuse("byte ", at, ": a directory entry was expected");
    Member m;
    const auto flags = read<uint16_t>(at + 8);
    m.method = read<uint16_t>(at + 10);
    m.crc = read<uint32_t>(at + 16);
    uint64_t compressed = read<uint32_t>(at + 20), offset = read<uint32_t>(at + 42);
    m.size = read<uint32_t>(at + 24);
    const uint64_t name_length = read<uint16_t>(at + 28), extra = read<uint16_t>(at + 30), comment = read<uint16_t>(at + 32);
    if (name_length + extra + comment > file_.size() - at - central_bytes) refuse("a directory entry passes the end");
    m.name = file_.substr(at + central_bytes, name_length);
    read_zip64(at + central_bytes + name_length, extra, &m.size, &compressed, &offset);
    at += central_bytes + name_length + extra + comment;
    if (flags & 1) fail(ErrorCode::unsupported, name_, ": '", m.name, "' is encrypted");
    if (m.method != stored && m.method != deflated) fail(ErrorCode::unsupported, name_, ": '", m.name, "' is compressed by method ", m.method, ", expected 0 or 8");

    if (read<uint32_t>(offset) != local_signature) refuse("'", m.name, "' is not at byte ", offset, " where the directory says");
    const uint64_t data = offset + local_bytes + read<uint16_t>(offset + 26) + read<uint16_t>(offset + 28);
    if (data > file_.size() || compressed > file_.size() - data) refuse("'", m.name, "' takes ", compressed, " bytes, past the end");
    if (m.method == stored && compressed != m.size) refuse("'", m.name, "' is stored, but its two sizes differ");
    m.data = file_.substr(data, compressed);
    return m;
  }

  std::string_view file_;
  const std::string& name_;
};

std::span<const std::byte> as_bytes(std::string_view s) { return {reinterpret_cast<const std::byte*>(s.data()), s.size()}; }

template <class T>
void put(std::string& out, T value) { out.append(reinterpret_cast<const char*>(&value), sizeof value); }

// What local header and directory entry share: version to .. extra length. Sizes stand in the extra field when large.
void put_common(std::string& out, std::string_view name, uint64_t size, uint32_t crc, size_t extra_bytes) {
  put<uint16_t>(out, extra_bytes ? 45 : 20);
  put<uint16_t>(out, 0x800);  // names are UTF-8
  put<uint16_t>(out, stored);
  put<uint16_t>(out, 0);       // time and date: 1980-01-01, so that equal content gives equal files
  put<uint16_t>(out, 0x21);
  put(out, crc);
  for (int i = 0; i < 2; ++i) put<uint32_t>(out, extra_bytes ? all_ones : static_cast<uint32_t>(size));
  put<uint16_t>(out, static_cast<uint16_t>(name.size()));
  put<uint16_t>(out, static_cast<uint16_t>(extra_bytes));
}

std::string zip64_fields(std::initializer_list<uint64_t> values) {
  std::string extra;
  put<uint16_t>(extra, zip64_extra);
  put<uint16_t>(extra, static_cast<uint16_t>(8 * values.size()));
  for (uint64_t value : values) put(extra, value);
  return extra;
}

class ZipWriter {
 public:
  void add(std::string name, const std::string& content) {
    if (name.size() > 65000) fail(ErrorCode::invalid_argument, "a member name of ", name.size(), " bytes");
    const uint64_t offset = out_.size(), size = content.size();
    const bool large = size >= all_ones || offset >= all_ones;
    const uint32_t crc = crc32(content.data(), content.size());
    put(out_, local_signature);
    auto extra = large ? zip64_fields({size, size}) : std::string();
    put_common(out_, name, size, crc, extra.size());
    out_.append(name).append(extra).append(content);

    put(directory_, central_signature);
    put<uint16_t>(directory_, 45);
    extra = large ? zip64_fields({size, size, offset}) : std::string();
    put_common(directory_, name, size, crc, extra.size());
    directory_.append(10, '\0');  // comment, disk, attributes
    put<uint32_t>(directory_, large ? all_ones : static_cast<uint32_t>(offset));
    directory_.append(name).append(extra);
    ++count_;
  }

  std::string finish() {
    const uint64_t at = out_.size(), bytes = directory_.size();
    out_ += directory_;
    const bool large = at >= all_ones || bytes >= all_ones || count_ >= 0xffff;
    if (large) {
      const uint64_t end64 = out_.size();
      put(out_, end64_signature);
      put<uint64_t>(out_, end64_bytes - 12);
      put<uint16_t>(out_, 45), put<uint16_t>(out_, 45), put<uint32_t>(out_, 0), put<uint32_t>(out_, 0);
      for (uint64_t value : {count_, count_, bytes, at}) put(out_, value);
      put(out_, locator64_signature), put<uint32_t>(out_, 0), put(out_, end64), put<uint32_t>(out_, 1);
    }
    put(out_, end_signature), put<uint32_t>(out_, 0);
    for (int i = 0; i < 2; ++i) put<uint16_t>(out_, static_cast<uint16_t>(large ? 0xffff : count_));
    put<uint32_t>(out_, large ? all_ones : static_cast<uint32_t>(bytes));
    put<uint32_t>(out_, large ? all_ones : static_cast<uint32_t>(at));
    put<uint16_t>(out_, 0);
    return std::move(out_);
  }

 private:
  std::string out_, directory_;
  uint64_t count_ = 0;
};

}  // namespace

NamedTensors read_npz(std::span<const std::byte> bytes, std::shared_ptr<const void> owner, const std::string& name, const NpzOptions& options) {
  NamedTensors result;
  const uint64_t limit = options.memory_limit_bytes ? options.memory_limit_bytes : (uint64_t{1} << 30) + 16 * bytes.size();
  uint64_t left = limit;
  for (auto& member : ZipReader({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, name).members()) {
    auto content = as_bytes(member.data);
    std::shared_ptr<const void> keep = owner;
    // Stored members count too: a hostile directory can name the same bytes many times.
    if (member.size > left) fail(ErrorCode::limit, name, ": '", member.name, "' takes ", member.size, " bytes, but ", left, " of ", limit, " are left");
    left -= member.size;
    if (member.method == deflated) {
      if (!options.inflate) fail(ErrorCode::unsupported, name, ": '", member.name, "' is compressed and there is no decompressor; save it with numpy.savez");
      auto inflated = std::make_shared<std::vector<std::byte>>(member.size);
      options.inflate(content, *inflated);
      content = *inflated;
      keep = inflated;
    }
    if (crc32(content.data(), content.size()) != member.crc) fail(ErrorCode::invalid_model, name, ": '", member.name, "' is damaged (its CRC differs)");
    if (member.name.ends_with(".npy")) member.name.resize(member.name.size() - 4);
    auto label = text(name, ": ", member.name);
    result.emplace_back(std::move(member.name), read_npy(content, std::move(keep), label));
  }
  return result;
}

NamedTensors load_npz(const std::filesystem::path& path, const NpzOptions& options) {
  auto file = MappedFile::open(path);
  return read_npz(file->bytes(), file, path.string(), options);
}

std::string npz_bytes(const NamedTensors& tensors) {
  ZipWriter zip;
  for (const auto& [name, tensor] : tensors) zip.add(name + ".npy", npy_bytes(tensor));
  return zip.finish();
}

void save_npz(const std::filesystem::path& path, const NamedTensors& tensors) { write_file(path, npz_bytes(tensors)); }

}  // namespace outpost
