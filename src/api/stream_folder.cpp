#include "api/stream_folder.hpp"

#include <algorithm>
#include <charconv>
#include <fmt/format.h>
#include <system_error>

#include "rulegrad/files/npy.hpp"
#include "rulegrad/files/text_file.hpp"
#include "rulegrad/support/error.hpp"
#include "rulegrad/support/json.hpp"
#include "rulegrad/version.hpp"

#include "support/sha256.hpp"

namespace rulegrad {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t format = 1;
constexpr std::size_t longest_name = 100;

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

std::string preprocessing_json(const io::Preprocessing& how) {
  const auto numbers = [](Json& json, const std::vector<double>& values) {
    json.open('[');
    for (const double value : values) json.number(value);
    json.close(']');
  };
  Json json;
  json.open('{').key("scale").number(how.scale).key("mean");
  numbers(json, how.mean);
  json.key("std");
  numbers(json, how.std);
  json.key("layout")
      .text(how.layout == io::Layout::nhwc ? "nhwc" : "nchw")
      .key("color")
      .text(how.color == io::ColorOrder::bgr ? "bgr" : "rgb");
  json.key("short_side").number(how.short_side).close('}');
  return json.whole();
}

std::string methods_json(const StreamQuestion& question, const std::vector<std::string>& folders) {
  Json json;
  json.open('[');
  for (std::size_t m = 0; m < question.methods.size(); ++m) {
    const StreamQuestion::Method& method = question.methods[m];
    json.open('{').key("name").text(method.label).key("folder").text(folders[m]).key("parameters").open('{');
    for (const auto& [name, value] : method.parameters) json.key(name).raw(value);
    json.close('}').key("rules_digest").text(digest_of(method.rules)).close('}');
  }
  json.close(']');
  return json.whole();
}

template <class Names>
std::string texts_json(const Names& names) {
  Json json;
  json.open('[');
  for (const std::string& name : names) json.text(name);
  json.close(']');
  return json.whole();
}

/// A score's place: its index, or one for each axis of the output.
void write_target(Json& json, std::int64_t score, const std::vector<std::int64_t>& dims) {
  if (dims.size() < 2) {
    json.number(score);
    return;
  }
  std::vector<std::int64_t> place(dims.size());
  for (std::size_t axis = dims.size(); axis-- > 0; score /= dims[axis]) place[axis] = score % dims[axis];
  json.open('[');
  for (const std::int64_t index : place) json.number(index);
  json.close(']');
}

std::string_view member(const std::vector<std::pair<std::string, std::string_view>>& members,
                        std::string_view name, const std::string& where) {
  for (const auto& [key, value] : members)
    if (key == name) return value;
  throw Error(ErrorCode::io, fmt::format("'{}' has no '{}'", where, name));
}

}  // namespace

std::vector<std::string> folder_names(const std::vector<std::string>& names) {
  std::vector<std::string> result;
  for (const std::string& name : names) {
    std::string base;
    for (const char c : name) {
      const auto byte = static_cast<unsigned char>(c);
      if (byte >= 0x80 && byte < 0xc0) continue;  // the rest of a character
      const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                         std::string_view("._-=").find(c) != std::string_view::npos;
      base += plain && !(base.empty() && c == '.') ? c : '_';
    }
    base = base.empty() ? "_" : base.substr(0, longest_name);
    std::string folder = base;
    for (int other = 2; std::ranges::find(result, folder) != result.end(); ++other)
      folder = fmt::format("{}-{}", base, other);
    result.push_back(std::move(folder));
  }
  return result;
}

namespace {

StreamFolder::Facts facts_of(const std::vector<std::string>& methods, const std::vector<std::string>& nodes,
                             const StreamQuestion& question, std::int64_t batch_size, std::int64_t shard,
                             std::int64_t count, const std::string& digest) {
  Json model, samples;
  model.open('{')
      .key("name")
      .text(question.model_name)
      .key("digest")
      .text(question.model_digest)
      .key("dtype")
      .text(question.model_dtype)
      .close('}');
  samples.open('{').key("count").number(count).key("digest").text(digest).close('}');
  return {{"aux", question.aux},
          {"batch_size", fmt::format("{}", batch_size)},
          {"format", fmt::format("{}", format)},
          {"head", fmt::format("\"{}\"", question.head)},
          {"keep", texts_json(question.keep)},
          {"methods", methods_json(question, folder_names(methods))},
          {"model", model.whole()},
          {"node_folders", texts_json(folder_names(nodes))},
          {"nodes", texts_json(nodes)},
          {"output", question.output},
          {"precision", fmt::format("\"{}\"", question.precision)},
          {"preprocessing", preprocessing_json(question.preprocessing)},
          {"rounding", question.rounding ? "true" : "false"},
          {"rulegrad", fmt::format("\"{}\"", version())},
          {"seed", question.seed},
          {"shard_size", fmt::format("{}", shard)},
          {"source", samples.whole()},
          {"target", question.target}};
}

/// One sample as a row: its name, what was explained, and its score.
void write_sample(Json& json, const std::string& name, const Explanation& found, std::size_t place,
                  const StreamQuestion& question) {
  json.open('{').key("name").text(name).key("target");
  // A seed of the person's own explains no single score.
  if (found.targets().empty()) {
    json.null().key("label").text("");
  } else {
    write_target(json, found.targets()[place], question.score_dims);
    json.key("label").text(question.label ? question.label(found.targets()[place]) : "");
  }
  json.key("score").number(found.explained_scores()[place]).close('}');
}

}  // namespace

StreamFolder::Facts stream_facts(const Explainer& explainer, const SampleSource& source,
                                 const StreamQuestion& question, const StreamOptions& options) {
  return facts_of(explainer.methods(), explainer.nodes(), question,
                  std::min(options.batch_size, options.shard), options.shard, source.count(),
                  source.digest());
}

std::string manifest_of(const Explanation& found, std::span<const std::string> names,
                        const StreamQuestion& question, std::int64_t batch_size) {
  const auto count = static_cast<std::int64_t>(names.size());
  const std::size_t each = found.explained_scores().size() / std::max<std::size_t>(names.size(), 1);
  std::string text = "{", samples;
  for (const auto& [key, value] : facts_of(found.methods(), found.nodes(), question, batch_size,
                                           std::max<std::int64_t>(count, 1), count, ""))
    text += fmt::format("\n \"{}\": {},", key, value);
  for (std::size_t place = 0; place < found.explained_scores().size(); ++place) {
    Json row;
    write_sample(row, names[place / each], found, place, question);
    samples += fmt::format("{}\n  {}", samples.empty() ? "" : ",", row.whole());
  }
  return text +
         fmt::format("\n \"shards\": [],\n \"failed\": [],\n \"complete\": true,\n \"samples\": [{}]\n}}\n",
                     samples);
}

std::string digest_of(std::string_view text) {
  Sha256 hash;
  hash.add(text);
  return hash.digits().substr(0, 16);
}

std::string array_json(const Tensor& array, std::int64_t most) {
  Json json;
  if (array.rank() == 1 && array.size() <= most) {
    json.open('[');
    for (std::int64_t i = 0; i < array.size(); ++i) json.number(array.at(i));
    return json.close(']').whole();
  }
  Sha256 hash;
  hash.add(std::span(array.data(), array.bytes()));
  json.open('{').key("sha256").text(hash.digits()).key("shape").open('[');
  for (const std::int64_t extent : array.dims()) json.number(extent);
  return json.close(']').close('}').whole();
}

StreamFolder::StreamFolder(fs::path folder, Facts facts, const std::vector<std::string>& methods,
                           const std::vector<std::string>& nodes)
    : folder_(std::move(folder)),
      facts_(std::move(facts)),
      method_folders_(folder_names(methods)),
      node_folders_(folder_names(nodes)) {}

fs::path StreamFolder::record(std::int64_t number) const {
  return folder_ / "records" / (number_name(number) + ".json");
}

std::int64_t StreamFolder::shard_size_in(const fs::path& folder) {
  const fs::path asked = folder / "asked.json";
  std::error_code none;
  if (!fs::exists(asked, none)) return 0;
  const std::string text = io::read_text(asked.string());
  const std::string_view value = member(json_members(text, asked.string()), "shard_size", asked.string());
  std::int64_t size = 0;
  const auto [end, problem] = std::from_chars(value.data(), value.data() + value.size(), size);
  if (problem != std::errc() || end != value.data() + value.size() || size < 1)
    throw Error(ErrorCode::io,
                fmt::format("'{}': the shard_size is {}; it is a number of samples", asked.string(), value));
  return size;
}

std::int64_t StreamFolder::begin(bool resume) {
  std::error_code problem;
  if (!resume && fs::exists(folder_, problem) && !fs::is_empty(folder_, problem))
    throw Error(ErrorCode::io,
                fmt::format("'{}' is not empty; give another folder, or --resume to go on with what is there",
                            folder_.string()));
  make_folder(folder_ / "records");
  const fs::path asked = folder_ / "asked.json";
  if (fs::exists(asked, problem)) {
    const std::string text = io::read_text(asked.string());
    const auto before = json_members(text, asked.string());
    // The size of the shards first: others follow from it.
    Facts asked_now = facts_;
    std::ranges::stable_partition(asked_now, [](const auto& fact) { return fact.first == "shard_size"; });
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
  std::int64_t done = 0;
  while (fs::exists(record(done), problem)) ++done;
  return done;
}

void StreamFolder::write(const StreamShard& shard, std::int64_t shard_size, const SampleSource& source,
                         const StreamQuestion& question, const LeftOut& failed) const {
  Json samples, left_out, files;
  samples.open('[');
  files.open('{');
  if (shard.found != nullptr) {
    const Explanation& found = *shard.found;
    for (std::size_t m = 0; m < found.methods().size(); ++m)
      for (std::size_t n = 0; n < found.nodes().size(); ++n) {
        const std::string where = method_folders_[m] + "/" + node_folders_[n];
        make_folder(folder_ / where);
        const Tensor array = samples_first(found, m, n);
        io::write_npy((folder_ / where / (number_name(shard.number) + ".npy")).string(), array);
        files.key(where).text(digest_of({reinterpret_cast<const char*>(array.data()), array.bytes()}));
      }
    for (std::size_t i = 0; i < shard.samples.size(); ++i)
      write_sample(samples, source.name(shard.samples[i]), found, i, question);
  }
  samples.close(']');
  files.close('}');
  left_out.open('[');
  for (const auto& [name, error] : failed)
    left_out.open('{').key("name").text(name).key("error").text(error).close('}');
  left_out.close(']');
  Json json;
  json.open('{').key("samples").raw(samples.whole()).key("failed").raw(left_out.whole()).key("shard");
  if (shard.found == nullptr)
    json.null();
  else
    json.open('{')
        .key("name")
        .text(number_name(shard.number))
        .key("first")
        .number(shard.number * shard_size)
        .key("count")
        .number(static_cast<std::int64_t>(shard.samples.size()))
        .key("sha256")
        .raw(files.whole())
        .close('}');
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
    for (const std::string_view item : json_items(member(members, "samples", path), path)) {
      add(samples, item);
      ++summary.explained;
    }
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
