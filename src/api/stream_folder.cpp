#include "api/stream_folder.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <system_error>

#include "rulegrad/files/npy.hpp"
#include "rulegrad/files/text_file.hpp"
#include "rulegrad/support/error.hpp"
#include "rulegrad/support/json.hpp"

#include "files/zarr.hpp"
#include "support/number.hpp"

namespace rulegrad {
namespace {

namespace fs = std::filesystem;

std::string number_name(std::int64_t number) {
  return fmt::format("{:06d}", number);
}

void make_folder(const fs::path& folder) {
  std::error_code problem;
  fs::create_directories(folder, problem);
  if (problem)
    throw Error(ErrorCode::io,
                fmt::format("cannot make the folder '{}': {}", folder.string(), problem.message()));
}

std::string_view member(const std::vector<std::pair<std::string, std::string_view>>& members,
                        std::string_view name, const std::string& where) {
  for (const auto& [key, value] : members)
    if (key == name) return value;
  throw Error(ErrorCode::io, fmt::format("'{}' has no '{}'", where, name));
}

/// A number of samples.
std::int64_t number_of(std::string_view value, std::string_view name, const std::string& where) {
  const auto number = whole_number_from(value);
  if (!number || *number < 1)
    throw Error(ErrorCode::io,
                fmt::format("'{}': the {} is {}; it is a number of samples", where, name, value));
  return *number;
}

}  // namespace

StreamFolder::StreamFolder(fs::path folder, Facts facts, const std::vector<std::string>& methods,
                           const std::vector<std::string>& nodes, Layout layout)
    : folder_(std::move(folder)),
      facts_(std::move(facts)),
      method_folders_(folder_names(methods)),
      node_folders_(folder_names(nodes)),
      layout_(layout),
      zarr_(folder_.extension() == ".zarr") {}

fs::path StreamFolder::record(std::int64_t number) const {
  return folder_ / "records" / (number_name(number) + ".json");
}

std::int64_t StreamFolder::shard_size_in(const fs::path& folder) {
  const fs::path asked = folder / "asked.json";
  std::error_code none;
  if (!fs::exists(asked, none)) return 0;
  const std::string text = io::read_text(asked.string());
  return number_of(member(json_members(text, asked.string()), "shard_size", asked.string()), "shard_size",
                   asked.string());
}

std::int64_t StreamFolder::begin(bool resume) {
  std::error_code problem;
  if (!resume && fs::exists(folder_, problem) && !fs::is_empty(folder_, problem))
    throw Error(
        ErrorCode::io,
        fmt::format("'{}' is not empty; give another folder, or go on with what is there: --resume, in "
                    "Python resume=True",
                    folder_.string()));
  make_folder(folder_ / "records");
  const fs::path asked = folder_ / "asked.json";
  if (fs::exists(asked, problem)) {
    const std::string text = io::read_text(asked.string());
    const auto before = json_members(text, asked.string());
    // The size of the shards first: others follow from it.
    Facts asked_now = facts_;
    std::stable_partition(asked_now.begin(), asked_now.end(),
                          [](const auto& fact) { return fact.first == "shard_size"; });
    for (const auto& [key, value] : asked_now) {
      const auto found = std::ranges::find(before, key, [](const auto& entry) { return entry.first; });
      if (found != before.end() && json_normal(found->second, asked.string()) == json_normal(value, "asked"))
        continue;
      throw Error(
          ErrorCode::invalid_argument,
          fmt::format("'{}' was begun with another {}: {} and not {}; give another folder", folder_.string(),
                      key, found == before.end() ? std::string_view("nothing") : found->second, value));
    }
  } else {
    std::string text = "{";
    for (const auto& [key, value] : facts_)
      text += fmt::format("{}\n \"{}\": {}", text.size() > 1 ? "," : "", key, value);
    io::write_text(asked.string(), text + "\n}\n");
  }
  if (zarr_) {
    io::write_zarr_group(folder_);
    for (const std::string& method : method_folders_) io::write_zarr_group(folder_ / method);
  }
  std::int64_t done = 0;
  while (fs::exists(record(done), problem)) ++done;
  return done;
}

void StreamFolder::write_array(const StreamShard& shard, const fs::path& where, const Tensor& array,
                               std::int64_t read) const {
  make_folder(where);
  if (!zarr_) {
    io::write_npy((where / (number_name(shard.number) + ".npy")).string(), array);
    return;
  }
  // Entries of the first axis that belong to a sample: steps of a sequence may be merged with the batch.
  const std::int64_t each = array.dims()[0] / static_cast<std::int64_t>(shard.samples.size()),
                     first = shard.number * layout_.shard,
                     rows = layout_.count == SampleSource::unknown ? first + read : layout_.count,
                     chunk = layout_.count == SampleSource::unknown ? layout_.shard
                                                                    : std::min(layout_.shard, rows);
  std::vector<std::int64_t> places;
  for (const std::int64_t sample : shard.samples)
    for (std::int64_t k = 0; k < each; ++k) places.push_back((sample - first) * each + k);
  io::write_zarr_chunk(where, array, places, shard.number, chunk * each, rows * each);
}

void StreamFolder::write(const StreamShard& shard, const SampleSource& source, const StreamQuestion& question,
                         const LeftOut& failed) const {
  Json samples, left_out, files;
  samples.open('[');
  files.open('{');
  if (shard.found != nullptr) {
    const Explanation& found = *shard.found;
    for (std::size_t m = 0; m < found.methods().size(); ++m)
      for (std::size_t n = 0; n < found.nodes().size(); ++n) {
        const std::string where = method_folders_[m] + "/" + node_folders_[n];
        if (const Explanation::Layout& at = found.layout(m, n);
            zarr_ && (at.axis != at.loops || at.outer != 1))
          throw Error(ErrorCode::invalid_argument,
                      fmt::format("'{}': the samples of '{}' do not stand first in its array, which Zarr's "
                                  "chunks are cut by; give a folder of .npy files",
                                  folder_.string(), found.nodes()[n]));
        const Tensor array = samples_first(found, m, n, layout_.stacked);
        write_array(shard, folder_ / where, array,
                    static_cast<std::int64_t>(shard.samples.size() + failed.size()));
        files.key(where).text(digest_of({reinterpret_cast<const char*>(array.data()), array.bytes()}));
      }
    const std::size_t each = found.explained_scores().size() / shard.samples.size();
    for (std::size_t i = 0; i < found.explained_scores().size(); ++i)
      write_sample(samples, source.name(shard.samples[i / each]), found, i, question);
  }
  samples.close(']');
  files.close('}');
  left_out.open('[');
  for (const auto& [name, error] : failed)
    left_out.open('{').key("name").text(name).key("error").text(error).close('}');
  left_out.close(']');
  Json json;
  json.open('{').key("samples").raw(samples.whole()).key("failed").raw(left_out.whole()).key("shard");
  if (shard.found == nullptr) {
    json.null();
  } else {
    json.open('{').key("name").text(number_name(shard.number));
    json.key("first").number(shard.number * layout_.shard);
    json.key("count").number(static_cast<std::int64_t>(shard.samples.size()));
    if (zarr_ && !failed.empty()) {
      json.key("rows").open('[');
      for (const std::int64_t sample : shard.samples) json.number(sample);
      json.close(']');
    }
    json.key("sha256").raw(files.whole()).close('}');
  }
  json.close('}');
  io::write_text(record(shard.number).string(), json.whole());
}

StreamSummary StreamFolder::finish(std::int64_t shards) const {
  StreamSummary summary;
  std::string samples, made, failed;
  const auto add = [](std::string& list, std::string_view item) {
    list += list.empty() ? "\n  " : ",\n  ";
    list += item;
  };
  for (std::int64_t number = 0; number < shards; ++number) {
    const std::string path = record(number).string(), text = io::read_text(path);
    const auto members = json_members(text, path);
    for (const std::string_view item : json_items(member(members, "samples", path), path)) add(samples, item);
    for (const std::string_view item : json_items(member(members, "failed", path), path)) {
      add(failed, item);
      const auto entry = json_members(item, path);
      summary.failed.emplace_back(json_string(member(entry, "name", path), path),
                                  json_string(member(entry, "error", path), path));
    }
    const std::string_view shard = member(members, "shard", path);
    if (shard == "null") continue;
    add(made, shard);
    ++summary.shards;
    const auto entry = json_members(shard, path);
    summary.explained += number_of(member(entry, "count", path), "count", path);
  }
  std::string text = "{";
  for (const auto& [key, value] : facts_) text += fmt::format("\n \"{}\": {},", key, value);
  text +=
      fmt::format("\n \"shards\": [{}],\n \"failed\": [{}],\n \"complete\": true,\n \"samples\": [{}]\n}}\n",
                  made, failed, samples);
  io::write_text((folder_ / "manifest.json").string(), text);
  return summary;
}

}  // namespace rulegrad
