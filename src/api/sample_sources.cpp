#include <algorithm>
#include <cctype>
#include <filesystem>
#include <fmt/format.h>

#include "rulegrad/api/stream.hpp"
#include "rulegrad/files/npy_rows.hpp"
#include "rulegrad/files/text_file.hpp"
#include "rulegrad/support/error.hpp"

#include "support/sha256.hpp"

namespace rulegrad {
namespace {

namespace fs = std::filesystem;

std::string ending_of(const fs::path& path) {
  std::string ending = path.extension().string();
  for (char& c : ending) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return ending;
}

bool is_picture(const fs::path& path) {
  const std::string ending = ending_of(path);
  return ending == ".png" || ending == ".jpg" || ending == ".jpeg";
}

bool is_array(const fs::path& path) {
  return ending_of(path) == ".npy";
}

bool is_list(const fs::path& path) {
  return path.extension() == ".txt" || path.extension() == ".lst";
}

/// A sample's values in the model's dtype. Integers become real numbers, real numbers no integers.
Tensor as_sample(const Tensor& values, const SampleType& type, const std::string& name) {
  const std::string wanted = fmt::format("{}{}", name_of(type.dtype), to_string(type.dims));
  if (values.dims() != type.dims)
    throw Error(ErrorCode::shape, fmt::format("sample {} is {} but the model's input '{}' takes {}", name,
                                              to_string(values.dims()), type.input, wanted));
  if (is_floating(values.dtype()) && !is_floating(type.dtype))
    throw Error(
        ErrorCode::dtype,
        fmt::format("sample {} holds {} values but the model's input '{}' takes {}; save it as integers",
                    name, name_of(values.dtype()), type.input, wanted));
  if (values.dtype() == DType::boolean && is_floating(type.dtype))
    throw Error(
        ErrorCode::dtype,
        fmt::format("sample {} holds boolean values but the model's input '{}' takes {}; save it as numbers",
                    name, type.input, wanted));
  return values.cast(type.dtype);
}

/// Rows of one array on disk.
class ArraySamples : public SampleSource {
 public:
  ArraySamples(const std::string& path, SampleType type) : rows_(path), type_(std::move(type)) {
    const Dims& dims = rows_.dims();
    if (dims.size() != type_.dims.size() + 1 ||
        !std::equal(type_.dims.begin(), type_.dims.end(), dims.begin() + 1))
      throw Error(ErrorCode::shape,
                  fmt::format("'{}' is {} but the model's input '{}' takes {}{}, samples first", path,
                              to_string(dims), type_.input, name_of(type_.dtype), to_string(type_.dims)));
    if (rows_.count() == 0)
      throw Error(ErrorCode::shape, fmt::format("'{}' holds no samples: it is {}", path, to_string(dims)));
  }
  [[nodiscard]] std::int64_t count() const override { return rows_.count(); }
  [[nodiscard]] std::string name(std::int64_t sample) const override { return fmt::format("{}", sample); }
  [[nodiscard]] Tensor read(std::int64_t sample) const override {
    return as_sample(rows_.read(sample, 1).reshaped(type_.dims), type_, name(sample));
  }
  [[nodiscard]] std::string digest() const override { return ""; }

 private:
  io::NpyRows rows_;
  SampleType type_;
};

/// Pictures and arrays, one after another.
class FileSamples : public SampleSource {
 public:
  explicit FileSamples(SampleFiles how) : how_(std::move(how)) {}

  void add(const fs::path& path, const std::string& name) {
    const bool picture = !is_array(path);
    if (picture) require_pictures(path);
    // One sample, or several: which is told by the header alone. What cannot be read is told when its turn
    // comes.
    std::int64_t rows = 0;
    try {
      if (!picture)
        if (const io::NpyRows array(path.string()); array.dims().size() == how_.type.dims.size() + 1)
          rows = array.count();
    } catch (const Error&) {
      rows = 0;
    }
    if (rows == 0) places_.push_back({path, name, -1});
    for (std::int64_t row = 0; row < rows; ++row)
      places_.push_back({path, fmt::format("{}[{}]", name, row), row});
  }

  [[nodiscard]] std::int64_t count() const override { return static_cast<std::int64_t>(places_.size()); }
  [[nodiscard]] std::string name(std::int64_t sample) const override { return place(sample).name; }

  [[nodiscard]] Tensor read(std::int64_t sample) const override {
    const Place& from = place(sample);
    if (is_array(from.path)) {
      const io::NpyRows array(from.path.string());
      if (from.row >= 0)
        return as_sample(array.read(from.row, 1).reshaped(how_.type.dims), how_.type, from.name);
      if (array.dims() != how_.type.dims || array.dims().empty())
        throw Error(ErrorCode::shape, fmt::format("sample {} is {} but the model's input '{}' takes {}{}",
                                                  from.name, to_string(array.dims()), how_.type.input,
                                                  name_of(how_.type.dtype), to_string(how_.type.dims)));
      return as_sample(array.read(0, array.count()), how_.type, from.name);
    }
    const bool first = how_.recipe->layout == io::Layout::nchw;
    const Dims& dims = how_.type.dims;
    return io::to_input(io::read_picture(from.path.string()), *how_.recipe, dims[first ? 1 : 0],
                        dims[first ? 2 : 1], dims[first ? 0 : 2], how_.type.dtype)
        .reshaped(dims);
  }

  [[nodiscard]] std::string digest() const override {
    Sha256 hash;
    for (const Place& one : places_) hash.add(one.name + "\n");
    return hash.digits().substr(0, 16);
  }

 private:
  struct Place {
    fs::path path;
    std::string name;
    std::int64_t row;  ///< -1: the whole file
  };
  [[nodiscard]] const Place& place(std::int64_t sample) const {
    return places_.at(static_cast<std::size_t>(sample));
  }

  void require_pictures(const fs::path& path) const {
    if (how_.type.dims.size() != 3)
      throw Error(
          ErrorCode::shape,
          fmt::format(
              "{} is a picture, but the model's input '{}' takes {}{}, which is no image; give .npy files",
              path.string(), how_.type.input, name_of(how_.type.dtype), to_string(how_.type.dims)));
    if (!how_.recipe) throw Error(ErrorCode::invalid_argument, how_.no_recipe);
    const std::int64_t channels = how_.type.dims[how_.recipe->layout == io::Layout::nchw ? 0 : 2];
    if (channels != 1 && channels != 3)
      throw Error(ErrorCode::shape, fmt::format("the model's input '{}' takes {}: that is {} channels, and a "
                                                "picture has 1 or 3; does --layout say where they are?",
                                                how_.type.input, to_string(how_.type.dims), channels));
  }

  SampleFiles how_;
  std::vector<Place> places_;
};

void add_folder(FileSamples& samples, const fs::path& folder) {
  std::error_code problem;
  std::vector<fs::path> files;
  for (fs::directory_iterator entry(folder, problem), end; !problem && entry != end; entry.increment(problem))
    if (is_picture(entry->path()) || is_array(entry->path())) files.push_back(entry->path());
  if (problem)
    throw Error(ErrorCode::io,
                fmt::format("cannot read the folder '{}': {}", folder.string(), problem.message()));
  if (files.empty())
    throw Error(
        ErrorCode::io,
        fmt::format(
            "'{}' holds no picture and no .npy file; files of several folders go into a list, one a line",
            folder.string()));
  std::ranges::sort(files, {}, [](const fs::path& path) { return path.filename().string(); });
  for (const fs::path& file : files) samples.add(file, file.filename().string());
}

void add_list(FileSamples& samples, const fs::path& list) {
  const std::string text = io::read_text(list.string());
  const std::int64_t before = samples.count();
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    std::string line = text.substr(at, end - at);
    at = end + 1;
    line.erase(0, std::min(line.find_first_not_of(" \t\r"), line.size()));
    line.erase(line.find_last_not_of(" \t\r") + 1);
    if (!line.empty() && line[0] != '#') samples.add(list.parent_path() / line, line);
  }
  if (samples.count() == before)
    throw Error(ErrorCode::io, fmt::format("the list '{}' names no file", list.string()));
}

}  // namespace

bool is_sample_folder_or_list(const std::string& path) {
  std::error_code none;
  return fs::is_directory(path, none) || (is_list(path) && fs::is_regular_file(path, none));
}

std::unique_ptr<SampleSource> open_samples(std::span<const std::string> paths, const SampleFiles& how) {
  if (paths.size() == 1 && is_array(paths[0])) return std::make_unique<ArraySamples>(paths[0], how.type);
  auto samples = std::make_unique<FileSamples>(how);
  for (const std::string& path : paths) {
    std::error_code none;
    if (fs::is_directory(path, none))
      add_folder(*samples, path);
    else if (is_list(path))
      add_list(*samples, path);
    else if (fs::exists(path, none))
      samples->add(path, fs::path(path).filename().string());
    else
      throw Error(ErrorCode::io, fmt::format("cannot read '{}': no such file or folder", path));
  }
  return samples;
}

}  // namespace rulegrad
