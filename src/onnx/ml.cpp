#include "onnx/ml.hpp"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>
#include <map>
#include <numeric>

#include "rulegrad/expr/leaves.hpp"

#include "onnx/applied.hpp"
#include "tensor/checked.hpp"

/// The operators of ai.onnx.ml that work on numbers.
namespace rulegrad::io {

Expr numbers(const NodeContext& c, const std::vector<double>& values, Dims dims) {
  Tensor tensor = c.array(DType::float64, std::move(dims));
  std::copy(values.begin(), values.end(), tensor.mutable_values<double>().begin());
  return c.graph().constant(tensor.cast(c.importer().real()));
}

Expr transformed(NodeContext& c, Expr y, const std::string& how) {
  const auto last = static_cast<std::int64_t>(y.shape().rank()) - 1;
  if (how == "NONE") return y;
  if (how == "LOGISTIC") return c.apply("sigmoid", {y});
  if (how == "SOFTMAX") return c.apply("softmax", {y}, AxisAttributes{last});
  if (how == "SOFTMAX_ZERO") {
    // Scores that are 0 stay 0 and take no part.
    const Expr zero = binary(c, "equal", y, c.scalar(0, y));
    const Expr top = c.apply("amax", {y}, ReduceAttributes{{last}, true});
    const Expr e = c.apply("where", {zero, c.scalar(0, y), c.apply("exp", {binary(c, "sub", y, top)})});
    return binary(c, "over", e, c.apply("sum", {e}, ReduceAttributes{{last}, true}));
  }
  c.fail(fmt::format("attribute 'post_transform' is '{}', which is not supported", how));
}

Expr features_of(NodeContext& c) {
  const Expr x = as_real(c, c.operand(0));
  return x.shape().rank() == 1 ? reshaped(c, x, {1, x.shape()[0]}) : x;
}

void label_result(NodeContext& c, Expr scores, const char* integers_name, const char* strings_name) {
  const Ints classes = c.integers(integers_name);
  c.ignore({strings_name});
  if (!c.wanted(0)) return;
  if (classes.empty()) return c.absent(0, "it is a word; the scores say which class is meant");
  const Expr top = c.apply("argmax", {scores}, ArgAttributes{1, false});
  const Expr names = c.graph().constant(
      Tensor({static_cast<std::int64_t>(classes.size())}, std::span<const std::int64_t>(classes)));
  c.result(c.apply("gather", {names, top}, AxisAttributes{0}));
}

namespace {

/// A list that has an entry for each feature, or one for all.
Expr feature_list(NodeContext& c, const char* name, double otherwise) {
  std::vector<double> list = c.exact_reals(name);
  if (list.empty()) list.push_back(otherwise);
  const auto count = static_cast<std::int64_t>(list.size());
  return count == 1 ? c.graph().scalar(list[0]) : numbers(c, list, {count});
}

void scaler(NodeContext& c) {
  const Expr x = as_real(c, c.operand(0));
  c.result(binary(c, "mul", binary(c, "sub", x, feature_list(c, "offset", 0)), feature_list(c, "scale", 1)));
}

void normalizer(NodeContext& c) {
  const Expr x = as_real(c, c.operand(0));
  const std::string norm = c.text("norm", "MAX");
  const ReduceAttributes last{{static_cast<std::int64_t>(x.shape().rank()) - 1}, true};
  const Expr size = c.apply("abs", {x});
  Expr by;
  if (norm == "L1")
    by = c.apply("sum", {size}, last);
  else if (norm == "L2")
    by = c.apply("sqrt", {c.apply("sum", {binary(c, "mul", x, x)}, last)});
  else if (norm == "MAX")
    by = c.apply("amax", {x}, last);
  else
    c.fail(fmt::format("attribute 'norm' is '{}' but must be MAX, L1 or L2", norm));
  const Expr none = binary(c, "equal", by, c.scalar(0, by));
  c.result(binary(c, "div", x, c.apply("where", {none, c.scalar(1, by), by})));
}

/// x [N, F] times [rows, F] and a bias.
Expr linear_scores(NodeContext& c, Expr x, std::int64_t rows) {
  const std::vector<double> w = c.exact_reals("coefficients"), b = c.exact_reals("intercepts");
  if (rows < 1 || w.size() % static_cast<std::size_t>(rows) != 0)
    c.fail(fmt::format("{} coefficients are not a multiple of {} rows", w.size(), rows));
  const Expr weight = numbers(c, w, {rows, static_cast<std::int64_t>(w.size()) / rows});
  const bool any = std::any_of(b.begin(), b.end(), [](double v) { return v != 0; });
  return c.apply("dense",
                 {x, weight, any ? numbers(c, b, {static_cast<std::int64_t>(b.size())}) : c.scalar(0, x)});
}

/// Two classes that are told by one score.
Expr both_classes(NodeContext& c, Expr score, const std::string& how) {
  const Expr p = transformed(c, score, how == "SOFTMAX" || how == "SOFTMAX_ZERO" ? "NONE" : how);
  const Expr other = how == "LOGISTIC" ? binary(c, "sub", c.scalar(1, p), p) : c.apply("neg", {p});
  return c.apply("concat", {other, p}, AxisAttributes{1});
}

void linear_classifier(NodeContext& c) {
  const Expr x = features_of(c);
  const Ints integers = c.integers("classlabels_ints");
  const std::int64_t words = c.string_count("classlabels_strings");
  const auto classes = std::max<std::int64_t>(static_cast<std::int64_t>(integers.size()), words);
  const std::size_t biases = c.exact_reals("intercepts").size();
  const std::int64_t rows = biases > 0 ? static_cast<std::int64_t>(biases) : classes;
  c.ignore({"multi_class"});
  const std::string how = c.text("post_transform", "NONE");
  const Expr raw = linear_scores(c, x, rows);
  const bool alone = rows == 1 && classes == 2;
  const Expr scores = alone ? both_classes(c, raw, how) : transformed(c, raw, how);
  c.result(scores, 1);
  label_result(c, alone ? both_classes(c, raw, "NONE") : raw, "classlabels_ints", "classlabels_strings");
}

void linear_regressor(NodeContext& c) {
  const Expr x = features_of(c);
  c.result(transformed(c, linear_scores(c, x, c.integer("targets", 1)), c.text("post_transform", "NONE")));
}

/// Scores by class: the scores themselves.
void zip_map(NodeContext& c) {
  c.ignore({"classlabels_int64s", "classlabels_strings"});
  c.result(c.operand(0));
}

void array_feature_extractor(NodeContext& c) {
  const Expr x = c.operand(0);
  if (x.shape().rank() == 0) c.fail("x has no axes");
  const Expr index = c.operand(1);
  c.result(c.apply("gather", {x, reshaped(c, index, {index.shape().count()})},
                   AxisAttributes{static_cast<std::int64_t>(x.shape().rank()) - 1}));
}

/// What is missing, by NaN or by a number of its own, becomes a given value.
void imputer(NodeContext& c) {
  const Expr x = as_real(c, c.operand(0));
  c.ignore({"imputed_value_int64s", "replaced_value_int64"});
  std::vector<double> values = c.exact_reals("imputed_value_floats");
  if (values.empty())
    for (const std::int64_t value : c.integers("imputed_value_int64s"))
      values.push_back(static_cast<double>(value));
  if (values.empty()) c.fail("it does not say by what missing values are replaced");
  const bool whole = c.has_attribute("imputed_value_int64s");
  const double replaced = whole ? static_cast<double>(c.any_integer("replaced_value_int64", 0))
                                : c.real("replaced_value_float", NAN);
  const Expr missing =
      std::isnan(replaced) ? binary(c, "not_equal", x, x) : binary(c, "equal", x, c.scalar(replaced, x));
  const auto count = static_cast<std::int64_t>(values.size());
  c.result(c.apply("where", {missing, count == 1 ? c.scalar(values[0], x) : numbers(c, values, {count}), x}));
}

/// Numbers for numbers; what is not listed gets the default.
void label_encoder(NodeContext& c) {
  const Expr x = c.operand(0);
  std::vector<double> keys = c.exact_reals("keys_floats"), values = c.exact_reals("values_floats");
  for (const std::int64_t key : c.integers("keys_int64s")) keys.push_back(static_cast<double>(key));
  const bool whole = c.has_attribute("values_int64s");
  for (const std::int64_t value : c.integers("values_int64s")) values.push_back(static_cast<double>(value));
  if (keys.empty() || keys.size() != values.size())
    c.fail("keys and values must be numbers; words are not supported");
  const double otherwise =
      whole ? static_cast<double>(c.any_integer("default_int64", -1)) : c.real("default_float", 0);
  c.ignore({"default_int64", "default_float", "default_string"});
  const DType dtype = whole ? DType::int64 : c.importer().real();
  Expr y = c.apply("fill", {}, FillAttributes{otherwise, dtype, x.shape()});
  for (std::size_t i = keys.size(); i-- > 0;)
    y = c.apply("where",
                {binary(c, "equal", x, c.scalar(keys[i], x)), c.graph().scalar(values[i], dtype), y});
  c.result(y);
}

void binarizer(NodeContext& c) {
  const Expr x = as_real(c, c.operand(0));
  c.result(c.apply("cast", {binary(c, "greater", x, c.scalar(c.real("threshold", 0), x))},
                   CastAttributes{x.dtype()}));
}

void one_hot_encoder(NodeContext& c) {
  const Expr x = c.operand(0);
  c.ignore({"zeros"});
  const Ints classes = c.integers("cats_int64s");
  if (classes.empty()) c.fail("classes that are words are not supported");
  std::vector<Expr> parts;
  std::vector<Dim> dims = x.shape().dims();
  dims.emplace_back(1);
  for (const std::int64_t value : classes)
    parts.push_back(
        reshaped(c, as_real(c, binary(c, "equal", x, c.scalar(static_cast<double>(value), x))), dims));
  c.result(c.apply("concat", parts, AxisAttributes{static_cast<std::int64_t>(dims.size()) - 1}));
}

void feature_vectorizer(NodeContext& c) {
  c.ignore({"inputdimensions"});
  std::vector<Expr> parts;
  for (std::size_t i = 0; i < c.input_count(); ++i) parts.push_back(as_real(c, c.operand(i)));
  c.result(c.apply("concat", parts, AxisAttributes{1}));
}

/// The trees of a file: nodes in the order of their children, values of leaves by target.
struct Trees {
  std::vector<std::int64_t> nodes, roots;
  std::vector<double> thresholds, values;
  std::int64_t width = 1;
};

/// `prefix` is `target` or `class`.
Trees read_trees(NodeContext& c, const std::string& prefix, std::int64_t width) {
  const Ints tree_of = c.integers("nodes_treeids"), id_of = c.integers("nodes_nodeids"),
             feature = c.integers("nodes_featureids"), yes = c.integers("nodes_truenodeids"),
             no = c.integers("nodes_falsenodeids"), missing = c.integers("nodes_missing_value_tracks_true");
  const std::vector<double> threshold = c.exact_reals("nodes_values"),
                            weight = c.exact_reals((prefix + "_weights").c_str());
  const std::vector<std::string> modes = c.strings("nodes_modes");
  const Ints leaf_tree = c.integers(prefix + "_treeids"), leaf_id = c.integers(prefix + "_nodeids"),
             leaf_target = c.integers(prefix + "_ids");
  c.ignore({"nodes_hitrates", "nodes_hitrates_as_tensor"});
  const std::size_t count = tree_of.size();
  for (const std::size_t size :
       {id_of.size(), feature.size(), yes.size(), no.size(), threshold.size(), modes.size()})
    if (size != count) c.fail("lists that describe its nodes are not of one length");
  if (leaf_tree.size() != weight.size() || leaf_id.size() != weight.size() ||
      leaf_target.size() != weight.size() || count == 0)
    c.fail("lists that describe its leaves are not of one length");
  std::map<std::pair<std::int64_t, std::int64_t>, std::size_t> place;
  std::vector<bool> child(count, false);
  for (std::size_t i = 0; i < count; ++i) place[{tree_of[i], id_of[i]}] = i;
  const std::map<std::string, std::int64_t> kinds{{"LEAF", 0},       {"BRANCH_LEQ", 1}, {"BRANCH_LT", 2},
                                                  {"BRANCH_GTE", 3}, {"BRANCH_GT", 4},  {"BRANCH_EQ", 5},
                                                  {"BRANCH_NEQ", 6}};
  const auto at = [&](std::size_t i, std::int64_t id) {
    const auto found = place.find({tree_of[i], id});
    if (found == place.end()) c.fail(fmt::format("tree {} has no node {}", tree_of[i], id));
    return found->second;
  };
  std::vector<std::int64_t> kind(count);
  for (std::size_t i = 0; i < count; ++i) {
    const auto found = kinds.find(modes[i]);
    if (found == kinds.end()) c.fail(fmt::format("nodes of the kind '{}' are not supported", modes[i]));
    kind[i] = found->second;
    if (kind[i] != 0) child[at(i, yes[i])] = child[at(i, no[i])] = true;
  }
  // Parents before their children.
  std::vector<std::size_t> order;
  std::vector<bool> seen(count, false);
  Trees trees;
  trees.width = width;
  for (std::size_t i = 0; i < count; ++i) {
    if (child[i]) continue;
    trees.roots.push_back(static_cast<std::int64_t>(order.size()));
    std::vector<std::size_t> open{i};
    for (std::size_t next = 0; next < open.size(); ++next) {
      const std::size_t node = open[next];
      if (seen[node]) c.fail(fmt::format("node {} of tree {} is reached twice", id_of[node], tree_of[node]));
      seen[node] = true;
      order.push_back(node);
      if (kind[node] == 0) continue;
      open.push_back(at(node, yes[node]));
      open.push_back(at(node, no[node]));
    }
  }
  if (order.size() != count) c.fail("its nodes form a circle");
  std::vector<std::int64_t> position(count), row(count, -1);
  for (std::size_t k = 0; k < count; ++k) position[order[k]] = static_cast<std::int64_t>(k);
  std::int64_t rows = 0;
  for (const std::size_t node : order)
    if (kind[node] == 0) row[node] = rows++;
  const std::int64_t values = checked::product(rows, width);
  c.spend_list(values);
  trees.values.assign(static_cast<std::size_t>(values), 0);
  for (std::size_t k = 0; k < weight.size(); ++k) {
    const auto found = place.find({leaf_tree[k], leaf_id[k]});
    if (found == place.end() || row[found->second] < 0 || leaf_target[k] < 0 || leaf_target[k] >= width)
      c.fail(fmt::format("a weight names leaf {} of tree {}, which is not there", leaf_id[k], leaf_tree[k]));
    trees.values[static_cast<std::size_t>(row[found->second] * width + leaf_target[k])] += weight[k];
  }
  for (const std::size_t node : order) {
    const bool leaf = kind[node] == 0;
    const bool tracks = node < missing.size() && missing[node] != 0;
    const std::int64_t fields[] = {leaf ? 0 : feature[node], kind[node],
                                   leaf ? row[node] : position[at(node, yes[node])],
                                   leaf ? 0 : position[at(node, no[node])], tracks ? 1 : 0};
    trees.nodes.insert(trees.nodes.end(), std::begin(fields), std::end(fields));
    trees.thresholds.push_back(threshold[node]);
  }
  return trees;
}

Expr run_trees(NodeContext& c, Expr x, const Trees& trees) {
  const auto integers = [&](const std::vector<std::int64_t>& list, Dims dims) {
    return c.graph().constant(Tensor(std::move(dims), std::span<const std::int64_t>(list)));
  };
  const auto count = static_cast<std::int64_t>(trees.thresholds.size());
  return c.apply("tree_ensemble",
                 {x, integers(trees.nodes, {count, 5}), numbers(c, trees.thresholds, {count}),
                  integers(trees.roots, {static_cast<std::int64_t>(trees.roots.size())}),
                  numbers(c, trees.values,
                          {static_cast<std::int64_t>(trees.values.size()) / trees.width, trees.width})});
}

Expr with_base(NodeContext& c, Expr y, std::int64_t trees) {
  const std::string how = c.text("aggregate_function", "SUM");
  if (how == "AVERAGE")
    y = binary(c, "div", y, c.scalar(static_cast<double>(trees), y));
  else if (how != "SUM")
    c.fail(fmt::format("attribute 'aggregate_function' is '{}' but must be SUM or AVERAGE", how));
  const std::vector<double> base = c.exact_reals("base_values");
  if (base.empty()) return y;
  return binary(c, "add", y, numbers(c, base, {static_cast<std::int64_t>(base.size())}));
}

void tree_regressor(NodeContext& c) {
  const Expr x = features_of(c);
  const Trees trees = read_trees(c, "target", c.integer("n_targets", 1));
  c.result(transformed(c, with_base(c, run_trees(c, x, trees), static_cast<std::int64_t>(trees.roots.size())),
                       c.text("post_transform", "NONE")));
}

void tree_classifier(NodeContext& c) {
  const Expr x = features_of(c);
  const Ints integers = c.integers("classlabels_int64s"), targets = c.integers("class_ids");
  const auto classes = std::max<std::int64_t>(
      {static_cast<std::int64_t>(integers.size()), c.string_count("classlabels_strings"), 1});
  const std::string how = c.text("post_transform", "NONE");
  // Two classes may be told by the weight of one.
  const bool alone = classes == 2 && std::all_of(targets.begin(), targets.end(),
                                                 [&](std::int64_t id) { return id == targets[0]; });
  const Trees trees = read_trees(c, "class", classes);
  Expr raw = run_trees(c, x, trees);
  if (alone) {
    raw = c.apply("slice", {raw}, SliceAttributes{{1}, {targets[0]}, {targets[0] + 1}, {1}});
    raw = with_base(c, raw, static_cast<std::int64_t>(trees.roots.size()));
    const std::vector<double> weights = c.exact_reals("class_weights");
    const bool positive = std::all_of(weights.begin(), weights.end(), [](double w) { return w >= 0; });
    const Expr p = transformed(c, raw, how == "LOGISTIC" ? how : "NONE");
    const bool probability = how == "LOGISTIC" || (how == "NONE" && positive);
    const Expr scores =
        c.apply("concat", {probability ? binary(c, "sub", c.scalar(1, p), p) : c.apply("neg", {p}), p},
                AxisAttributes{1});
    c.result(scores, 1);
    return label_result(c, scores, "classlabels_int64s", "classlabels_strings");
  }
  raw = with_base(c, raw, static_cast<std::int64_t>(trees.roots.size()));
  c.result(transformed(c, raw, how), 1);
  label_result(c, raw, "classlabels_int64s", "classlabels_strings");
}

}  // namespace

void add_ml(Handlers& h) {
  const std::string ml = "ai.onnx.ml.";
  h[ml + "Scaler"] = scaler;
  h[ml + "Normalizer"] = normalizer;
  h[ml + "LinearClassifier"] = linear_classifier;
  h[ml + "LinearRegressor"] = linear_regressor;
  h[ml + "ZipMap"] = zip_map;
  h[ml + "ArrayFeatureExtractor"] = array_feature_extractor;
  h[ml + "Imputer"] = imputer;
  h[ml + "LabelEncoder"] = label_encoder;
  h[ml + "Binarizer"] = binarizer;
  h[ml + "OneHotEncoder"] = one_hot_encoder;
  h[ml + "FeatureVectorizer"] = feature_vectorizer;
  h[ml + "TreeEnsembleRegressor"] = tree_regressor;
  h[ml + "TreeEnsembleClassifier"] = tree_classifier;
}

}  // namespace rulegrad::io
