#include <algorithm>
#include <cmath>
#include <fmt/format.h>

#include "rulegrad/rule/rule_text.hpp"
#include "rulegrad/support/json.hpp"
#include "rulegrad/version.hpp"

#include "api/stream_folder.hpp"
#include "support/number.hpp"
#include "support/sha256.hpp"

namespace rulegrad {
namespace {

constexpr std::int64_t format = 1;
constexpr std::size_t longest_name = 100;

/// A number where the text is one.
std::string text_or_number(const std::string& text) {
  const double number = number_from(text);
  Json json;
  if (std::isfinite(number))
    json.number(number);
  else
    json.text(text);
  return json.whole();
}

std::string argument_json(const AnalyzerCall::Argument& argument) {
  if (const auto* number = std::get_if<double>(&argument)) return Json().number(*number).whole();
  if (const auto* text = std::get_if<std::string>(&argument)) return text_or_number(*text);
  return array_json(std::get<Tensor>(argument));
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
  samples.open('{').key("count");
  if (count == SampleSource::unknown)
    samples.null();
  else
    samples.number(count);
  samples.key("digest").text(digest).close('}');
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
          {"stacked", fmt::format("{}", question.stacked)},
          {"target", question.target}};
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

StreamFolder::Facts stream_facts(const Explainer& explainer, std::span<const StreamInput> inputs,
                                 const StreamQuestion& question, const StreamOptions& options) {
  // Of one input the files are what its source says; of several they are known by the inputs' names.
  std::string digest = inputs.size() == 1 ? inputs[0].source->digest() : "";
  if (inputs.size() > 1 || !options.shared.empty()) {
    std::string all;
    for (const StreamInput& input : inputs)
      all += fmt::format("{}\t{}\n", input.type.input, input.source->digest());
    for (const auto& [name, value] : options.shared)
      all += fmt::format("{}\t{}\n", name, array_json(value, 0));
    digest = digest_of(all);
  }
  return facts_of(explainer.methods(), explainer.nodes(), question,
                  std::min(options.batch_size, options.shard), options.shard, inputs[0].source->count(),
                  digest);
}

std::vector<StreamQuestion::Method> stream_methods(const Explainer& explainer,
                                                   std::span<const AnalyzerCall> calls,
                                                   const RuleLibrary& rules) {
  std::vector<StreamQuestion::Method> result;
  for (std::size_t m = 0; m < calls.size(); ++m) {
    const AnalyzerDefinition& analyzer = rules.analyzer(calls[m].name);
    StreamQuestion::Method method{explainer.methods()[m], {}, show_method(rules, calls[m].name)};
    for (std::size_t p = 0; p < analyzer.parameters.size(); ++p) {
      const Parameter& parameter = analyzer.parameters[p];
      std::string value = parameter.fallback == no_term
                              ? "null"
                              : text_or_number(print_term(analyzer.terms, parameter.fallback));
      for (std::size_t a = 0; a < calls[m].arguments.size(); ++a)
        if (const auto& [name, argument] = calls[m].arguments[a];
            name == parameter.name || (name.empty() && a == p))
          value = argument_json(argument);
      method.parameters.emplace_back(parameter.name, std::move(value));
    }
    result.push_back(std::move(method));
  }
  return result;
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

}  // namespace rulegrad
