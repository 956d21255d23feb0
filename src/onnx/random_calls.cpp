#include "onnx/random_calls.hpp"

#include <fmt/format.h>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "rulegrad/ops/operators.hpp"

#include "onnx/writer.hpp"
#include "support/number.hpp"
#include "support/text.hpp"

namespace rulegrad::io {
namespace {

constexpr std::string_view mark_prefix = "rulegrad.";
/// What a mark says is written out to be compared: so many numbers for a sample, which no picture has.
constexpr std::int64_t most_elements = std::int64_t{1} << 22;

}  // namespace

std::string random_mark(std::string_view op, const Attributes& attributes) {
  if (op == "random_index") {
    const auto& a = attributes.as<RandomIndexAttributes>();
    return fmt::format("{}{} {} {} {}", mark_prefix, op, a.key, a.stream, a.count);
  }
  const auto& a = attributes.as<RandomAttributes>();
  std::string text = fmt::format("{}{} {} {} {}", mark_prefix, op, a.key, a.stream, name_of(a.dtype));
  for (const Dim dim : a.shape.dims()) text += dim.batch ? " N" : fmt::format(" {}", dim.factor);
  return text;
}

namespace {

std::vector<std::string> words_of(std::string_view text) {
  std::vector<std::string> words;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(' '), text.size());
    words.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return words;
}

std::optional<Shape> shape_in(const std::vector<std::string>& words, std::size_t first) {
  std::vector<Dim> dims;
  double elements = 1;
  for (std::size_t i = first; i < words.size(); ++i) {
    const auto extent = whole_number_from(words[i]);
    if (i == first && words[i] == "N")
      dims.push_back(B);
    else if (extent && *extent > 0 && *extent <= most_elements)
      dims.emplace_back(*extent);
    else
      return std::nullopt;
    if (i > first) elements *= static_cast<double>(*extent);
  }
  if (dims.empty() || elements > static_cast<double>(most_elements)) return std::nullopt;
  return Shape(std::move(dims));
}

/// What a mark says, written out.
struct Written {
  std::string op;
  Attributes attributes;
  onnx::GraphProto graph;
  std::unordered_map<std::string, const onnx::NodeProto*> made_by;
  std::unordered_map<std::string, const onnx::TensorProto*> constants;
};

std::optional<Attributes> attributes_in(const std::string& op, const std::vector<std::string>& words) {
  if (words.size() < 4) return std::nullopt;
  const auto key = whole_number_from(words[1]), stream = whole_number_from(words[2]);
  if (!key || !stream) return std::nullopt;
  if (op == "random_index") {
    const auto count = whole_number_from(words[3]);
    if (!count || *count < 1 || words.size() != 4) return std::nullopt;
    return RandomIndexAttributes{*key, *stream, *count};
  }
  if (op != "random_normal" && op != "random_uniform") return std::nullopt;
  const auto shape = shape_in(words, 4);
  if (!shape || (words[3] != "float32" && words[3] != "float64")) return std::nullopt;
  return RandomAttributes{*key, *stream, dtype_from_name(words[3]), *shape};
}

/// Null where the mark says nothing that could be written.
std::unique_ptr<const Written> written_out(const std::string& mark, std::int64_t opset) try {
  const std::vector<std::string> words = words_of(std::string_view(mark).substr(mark_prefix.size()));
  if (words.empty()) return nullptr;
  const auto attributes = attributes_in(words[0], words);
  if (!attributes) return nullptr;
  Graph graph;
  const bool numbers = words[0] != "random_index";
  const Dim rows = numbers ? attributes->as<RandomAttributes>().shape[0] : B;
  const Expr row = graph.input("row", {DType::int64, Shape{rows}}),
             sample = graph.input("sample", {DType::int64, Shape{}});
  const std::vector<Expr> outputs{graph.apply(op(words[0]), {row, sample}, *attributes)};
  const SaveOptions options{.output_names = {"numbers"}};
  auto result = std::make_unique<Written>();
  result->op = words[0];
  result->attributes = *attributes;
  result->graph = Writer(outputs, options, opset, "", nullptr).write().graph();
  for (const auto& node : result->graph.node()) result->made_by.emplace(node.output(0), &node);
  for (const auto& tensor : result->graph.initializer()) result->constants.emplace(tensor.name(), &tensor);
  return result;
} catch (const Error&) {
  return nullptr;
}

/// Holds the nodes of a file against those that were written out for a mark, from the last one on.
class Comparison {
 public:
  using Makers = std::unordered_map<std::string, const onnx::NodeProto*>;
  Comparison(const Written& written, const Makers& makers, const SameConstant& same_constant)
      : written_(written), makers_(makers), same_constant_(same_constant) {}

  std::optional<RandomCall> at(const onnx::NodeProto& last) {
    if (last.output_size() != 1 || !same("numbers", last.output(0))) return std::nullopt;
    if (!names_.contains("row") || !names_.contains("sample")) return std::nullopt;
    return RandomCall{written_.op, written_.attributes, names_["row"], names_["sample"]};
  }

 private:
  // As deep as what is written for one operator.
  // NOLINTNEXTLINE(misc-no-recursion)
  bool same(const std::string& wanted, const std::string& given) {
    const auto [known, fresh] = names_.emplace(wanted, given);
    if (!fresh) return known->second == given;
    if (const auto constant = written_.constants.find(wanted); constant != written_.constants.end())
      return same_constant_(given, *constant->second);
    const auto node = written_.made_by.find(wanted);
    if (node == written_.made_by.end()) return true;  // the row or the sample
    const auto other = makers_.find(given);
    if (other == makers_.end() || !alike(*node->second, *other->second)) return false;
    for (int i = 0; i < node->second->input_size(); ++i)
      if (!same(node->second->input(i), other->second->input(i))) return false;
    return true;
  }

  [[nodiscard]] static bool alike(const onnx::NodeProto& a, const onnx::NodeProto& b) {
    if (a.op_type() != b.op_type() || a.domain() != b.domain() || a.input_size() != b.input_size() ||
        b.output_size() != 1 || a.attribute_size() != b.attribute_size())
      return false;
    std::map<std::string, std::string> attributes;
    for (const auto& attribute : a.attribute())
      attributes.emplace(attribute.name(), attribute.SerializeAsString());
    for (const auto& attribute : b.attribute())
      if (const auto found = attributes.find(attribute.name());
          found == attributes.end() || found->second != attribute.SerializeAsString())
        return false;
    return true;
  }

  const Written& written_;
  const Makers& makers_;
  const SameConstant& same_constant_;
  std::map<std::string, std::string> names_;  ///< of the file, by what was written out
};

struct Search {
  std::int64_t opset;
  const SameConstant& same_constant;
  std::map<std::string, std::unique_ptr<const Written>> written;  ///< by mark
  RandomCalls found;
};

// NOLINTNEXTLINE(misc-no-recursion): bodies are as deep as the file's
void search(const onnx::GraphProto& graph, Search& all) {
  Comparison::Makers makers;
  for (const auto& node : graph.node()) {
    for (const auto& attribute : node.attribute())
      if (attribute.has_g()) search(attribute.g(), all);
    if (!node.doc_string().starts_with(mark_prefix)) continue;
    if (makers.empty())
      for (const auto& any : graph.node())
        for (const auto& output : any.output()) makers.emplace(output, &any);
    const auto [place, fresh] = all.written.try_emplace(node.doc_string());
    if (fresh) place->second = written_out(node.doc_string(), all.opset);
    if (!place->second) continue;
    if (auto call = Comparison(*place->second, makers, all.same_constant).at(node))
      all.found.emplace(&node, std::move(*call));
  }
}

}  // namespace

RandomCalls find_random(const onnx::GraphProto& graph, std::int64_t opset,
                        const SameConstant& same_constant) {
  Search all{opset, same_constant, {}, {}};
  search(graph, all);
  return std::move(all.found);
}

}  // namespace rulegrad::io
