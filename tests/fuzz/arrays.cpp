// Arrays: .npy, .npz and the arrays that are written again.
#include <fmt/format.h>
#ifdef RULEGRAD_HAVE_ZLIB
#include <zlib.h>
#endif

#include <algorithm>
#include <string>

#include "rulegrad/files/npy.hpp"
#include "rulegrad/support/error.hpp"

#include "fuzz/target.hpp"

namespace rulegrad::fuzz {
namespace {

void add(Bytes& bytes, std::string_view text) {
  bytes.insert(bytes.end(), text.begin(), text.end());
}
void add_number(Bytes& bytes, std::uint64_t number, std::size_t size) {
  for (std::size_t i = 0; i < size; ++i)
    bytes.push_back(static_cast<std::uint8_t>(i < 8 ? number >> (8 * i) : 0));
}

struct Npy {
  std::string descr = "<f4";
  bool fortran = false;
  std::vector<std::int64_t> shape;
  int major = 1;
  std::size_t data = 0;
};

Bytes written(const Npy& npy, RandomEngine& random) {
  std::string shape;
  for (const std::int64_t extent : npy.shape) shape += fmt::format("{}, ", extent);
  std::string header = fmt::format("{{'descr': '{}', 'fortran_order': {}, 'shape': ({}), }}", npy.descr,
                                   npy.fortran ? "True" : "False", shape);
  header.resize((header.size() + 64) / 64 * 64 - (npy.major == 1 ? 10 : 12) % 64, ' ');
  Bytes bytes;
  add(bytes, "\x93NUMPY");
  bytes.push_back(static_cast<std::uint8_t>(npy.major));
  bytes.push_back(0);
  add_number(bytes, header.size(), npy.major == 1 ? 2 : 4);
  add(bytes, header);
  for (std::size_t i = 0; i < npy.data; ++i) bytes.push_back(static_cast<std::uint8_t>(random()));
  return bytes;
}

Bytes fresh_npy(RandomEngine& random) {
  static constexpr const char* types[] = {"<f4", ">f4", "<f8", "<f2", "|u1", "|i1", "|b1",
                                          "<i2", ">u2", "<i4", "<u4", "<i8", ">i8"};
  static constexpr std::size_t sizes[] = {4, 4, 8, 2, 1, 1, 1, 2, 2, 4, 4, 8, 8};
  const std::size_t type = below(random, std::size(types));
  Npy npy{types[type], one_in(random, 3), {}, static_cast<int>(1 + below(random, 3)), sizes[type]};
  for (std::size_t rank = below(random, 5); rank > 0; --rank) {
    npy.shape.push_back(static_cast<std::int64_t>(below(random, 5)));
    npy.data *= static_cast<std::size_t>(npy.shape.back());
  }
  return written(npy, random);
}

/// Stored, or deflated where the build can.
Bytes archive_of(const std::vector<Bytes>& files, [[maybe_unused]] bool packed) {
  Bytes bytes, directory;
  int count = 0;
  for (const Bytes& file : files) {
    const std::string name = fmt::format("a{}.npy", count++);
    Bytes body = file;
    std::uint64_t crc = 0, method = 0;
#ifdef RULEGRAD_HAVE_ZLIB
    crc = crc32_z(0, file.data(), file.size());
    if (packed) {
      method = 8;
      z_stream stream{};
      (void)deflateInit2(&stream, 9, Z_DEFLATED, -MAX_WBITS, 8, Z_DEFAULT_STRATEGY);
      body.resize(deflateBound(&stream, file.size()));
      stream.next_in = const_cast<Bytef*>(file.data());
      stream.avail_in = static_cast<uInt>(file.size());
      stream.next_out = body.data();
      stream.avail_out = static_cast<uInt>(body.size());
      (void)deflate(&stream, Z_FINISH);
      body.resize(stream.total_out);
      deflateEnd(&stream);
    }
#endif
    const std::uint64_t offset = bytes.size();
    const auto common = [&](Bytes& to) {
      add_number(to, 20, 2);
      add_number(to, 0, 2);
      add_number(to, method, 2);
      add_number(to, 0, 4);
      add_number(to, crc, 4);
      add_number(to, body.size(), 4);
      add_number(to, file.size(), 4);
      add_number(to, name.size(), 2);
      add_number(to, 0, 2);
    };
    add_number(bytes, 0x04034b50, 4);
    common(bytes);
    add(bytes, name);
    bytes.insert(bytes.end(), body.begin(), body.end());
    add_number(directory, 0x02014b50, 4);
    add_number(directory, 20, 2);
    common(directory);
    add_number(directory, 0, 10);
    add_number(directory, offset, 4);
    add(directory, name);
  }
  const std::uint64_t at = bytes.size();
  bytes.insert(bytes.end(), directory.begin(), directory.end());
  add_number(bytes, 0x06054b50, 4);
  add_number(bytes, 0, 4);
  add_number(bytes, files.size(), 2);
  add_number(bytes, files.size(), 2);
  add_number(bytes, directory.size(), 4);
  add_number(bytes, at, 4);
  add_number(bytes, 0, 2);
  return bytes;
}

Bytes fresh(RandomEngine& random) {
  if (one_in(random, 2)) return fresh_npy(random);
  std::vector<Bytes> files;
  for (std::size_t count = 1 + below(random, 3); count > 0; --count) files.push_back(fresh_npy(random));
  return archive_of(files, one_in(random, 2));
}

/// Numbers that stand in words of a header, or in the fields of an archive's records.
void mutate(Bytes& input, RandomEngine& random) {
  const std::string_view text(reinterpret_cast<const char*>(input.data()), input.size());
  if (one_in(random, 8)) return mutate_bytes(input, random);
  if (text.starts_with("PK") && !one_in(random, 4)) {
    static constexpr std::string_view marks[] = {"PK\x03\x04", "PK\x01\x02", "PK\x05\x06"};
    const std::size_t at = text.rfind(pick(random, marks), below(random, input.size() + 1));
    if (at == std::string_view::npos) return mutate_bytes(input, random);
    const auto number = static_cast<std::uint64_t>(any_number(random));
    const std::size_t place = at + 4 + 2 * below(random, 21), size = one_in(random, 2) ? 2 : 4;
    for (std::size_t i = 0; i < size && place + i < input.size(); ++i)
      input[place + i] = static_cast<std::uint8_t>(number >> (8 * i));
    return;
  }
  const std::size_t begin = text.find("{'descr'");
  if (begin == std::string_view::npos || begin < 8) return mutate_bytes(input, random);
  const std::size_t end = std::min(text.find('\n', begin), input.size());
  static const std::vector<std::string> words{"descr", "fortran_order", "shape", "True", "False", "<f4",
                                              ">f8",   "|u1",           "<f2",   "|b1",  "<i8"};
  Bytes header(input.begin() + static_cast<std::ptrdiff_t>(begin),
               input.begin() + static_cast<std::ptrdiff_t>(end));
  const std::size_t before = header.size();
  mutate_text(header, random, words);
  // The length of the header goes with it, mostly.
  if (!one_in(random, 8)) header.resize(before, ' ');
  input.erase(input.begin() + static_cast<std::ptrdiff_t>(begin),
              input.begin() + static_cast<std::ptrdiff_t>(end));
  input.insert(input.begin() + static_cast<std::ptrdiff_t>(begin), header.begin(), header.end());
}

/// Everything that is done to an array on its way to a model and back.
void use(const Tensor& array, const std::string& path) {
  const Tensor wide = array.cast(DType::float64);
  double sum = 0;
  for (std::int64_t i = 0; i < wide.size(); ++i) sum += wide.at(i);
  (void)sum;
  io::write_npy(path, array);
  if (!identical(io::read_npy(path), array)) finding("an array that is written and read is another one");
}

Reached run(std::span<const std::uint8_t> input) {
  static const ScratchFile file(".npy"), again(".again.npy");
  file.write(input);
  Reached reached = Reached::refused;
  if (answers([&] { use(io::read_npy(file.path()), again.path()); })) reached = Reached::explained;
  (void)answers([&] { (void)io::read_npz(file.path(), "a0"); });
  if (answers([&] {
        for (const auto& [name, array] : io::read_npz(file.path())) use(array, again.path());
      }))
    reached = Reached::explained;
  return reached;
}

}  // namespace

const Target& target() {
  static const Target arrays{"arrays", run, fresh, mutate};
  return arrays;
}

}  // namespace rulegrad::fuzz
