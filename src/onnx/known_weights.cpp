#include "onnx/known_weights.hpp"

#include <charconv>
#include <cstring>
#include <filesystem>
#include <fmt/format.h>
#include <map>

#include "rulegrad/support/error.hpp"

#include "onnx/model_file.hpp"
#include "onnx/writer.hpp"
#include "support/hash.hpp"

namespace rulegrad::io {
namespace {

std::size_t hash_of(std::span<const std::byte> bytes) {
  return hash_bytes({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
}

struct Entry {
  std::string location;
  std::size_t offset = 0, length = 0;
};

/// None unless all is said.
std::optional<Entry> entry_of(const onnx::TensorProto& tensor) {
  if (tensor.data_location() != onnx::TensorProto::EXTERNAL) return std::nullopt;
  Entry entry;
  for (const auto& said : tensor.external_data()) {
    const auto number = [&](std::size_t& to) {
      std::from_chars(said.value().data(), said.value().data() + said.value().size(), to);
    };
    if (said.key() == "location") entry.location = said.value();
    if (said.key() == "offset") number(entry.offset);
    if (said.key() == "length") number(entry.length);
  }
  return entry.length == 0 ? std::nullopt : std::optional(entry);
}

}  // namespace

KnownWeights::KnownWeights(const std::string& model, const std::string& file) {
  namespace fs = std::filesystem;
  const fs::path folder = fs::weakly_canonical(fs::absolute(file).parent_path());
  const fs::path source = fs::weakly_canonical(fs::absolute(model));
  const auto from_file = [&](const fs::path& path) {
    const fs::path way = path.lexically_relative(folder);
    if (way.empty() || *way.begin() == "..")
      throw Error(
          ErrorCode::invalid_argument,
          fmt::format(
              "'{}' cannot share its weights with '{}': runtimes read weights only from the folder of "
              "a file or below it. Write it to '{}'",
              path.string(), file, source.parent_path().string()));
    return way.generic_string();
  };
  (void)from_file(source);
  const ModelFile parsed = parse_model_file(source);
  std::map<std::string, std::shared_ptr<const MappedFile>> opened{{"", parsed.mapping}};
  for (const auto& tensor : parsed.graph().initializer()) {
    const auto entry = entry_of(tensor);
    if (!entry || entry->length < least_external) continue;
    auto& mapping = opened[entry->location];
    const fs::path path =
        entry->location.empty() ? source : fs::weakly_canonical(source.parent_path() / entry->location);
    if (mapping == nullptr) mapping = MappedFile::open(path);
    if (entry->offset > mapping->bytes().size() || entry->length > mapping->bytes().size() - entry->offset)
      continue;
    const auto bytes = mapping->bytes().subspan(entry->offset, entry->length);
    places_.emplace(hash_of(bytes), Place{from_file(path), entry->offset, tensor.data_type(), bytes});
  }
  for (auto& [location, mapping] : opened) files_.push_back(std::move(mapping));
}

const KnownWeights::Place* KnownWeights::find(const Tensor& value) const {
  const auto [first, last] = places_.equal_range(hash_of({value.data(), value.bytes()}));
  for (auto found = first; found != last; ++found)
    if (found->second.type == onnx_type(value.dtype()) && found->second.bytes.size() == value.bytes() &&
        std::memcmp(found->second.bytes.data(), value.data(), value.bytes()) == 0)
      return &found->second;
  return nullptr;
}

}  // namespace rulegrad::io
