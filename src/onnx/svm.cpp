#include <algorithm>
#include <cmath>
#include <fmt/format.h>

#include "rulegrad/expr/leaves.hpp"

#include "onnx/applied.hpp"
#include "onnx/ml.hpp"
#include "tensor/checked.hpp"

/// Support vector machines of ai.onnx.ml: kernels between the sample and the support vectors, then a layer.
namespace rulegrad::io {
namespace {

/// k(x, s) of x [N, F] with each support vector [S, F]: [N, S].
Expr kernels(NodeContext& c, Expr x, std::int64_t supports) {
  const std::vector<double> vectors = c.exact_reals("support_vectors");
  const std::vector<double> parameters = c.exact_reals("kernel_params");
  const std::string kernel = c.text("kernel_type", "LINEAR");
  if (supports < 1 || vectors.size() % static_cast<std::size_t>(supports) != 0)
    c.fail(fmt::format("{} numbers are not a multiple of {} support vectors", vectors.size(), supports));
  if (!parameters.empty() && parameters.size() != 3) c.fail("kernel_params must be gamma, coef0 and degree");
  const double gamma = parameters.empty() ? 0 : parameters[0], shift = parameters.empty() ? 0 : parameters[1],
               degree = parameters.empty() ? 0 : std::trunc(parameters[2]);
  const std::int64_t features = static_cast<std::int64_t>(vectors.size()) / supports;
  const Expr support = numbers(c, vectors, {supports, features});
  if (kernel == "RBF") {
    std::vector<Dim> dims{x.shape()[0], Dim{1}, x.shape()[1]};
    const Expr away = binary(c, "sub", reshaped(c, x, std::move(dims)), support);
    const Expr square = c.apply("sum", {binary(c, "mul", away, away)}, ReduceAttributes{{2}, false});
    return c.apply("exp", {binary(c, "mul", square, c.scalar(-gamma, x))});
  }
  const Expr product = c.apply("dense", {x, support, c.scalar(0, x)});
  if (kernel == "LINEAR") return product;
  const Expr inner = binary(c, "add", binary(c, "mul", product, c.scalar(gamma, x)), c.scalar(shift, x));
  if (kernel == "POLY") return binary(c, "pow", inner, c.scalar(degree, x));
  if (kernel == "SIGMOID") return c.apply("tanh", {inner});
  c.fail(fmt::format("attribute 'kernel_type' is '{}' but must be LINEAR, POLY, RBF or SIGMOID", kernel));
}

double only_rho(NodeContext& c) {
  const std::vector<double> rho = c.exact_reals("rho");
  if (rho.empty()) c.fail("it has no rho");
  return rho[0];
}

void svm_regressor(NodeContext& c) {
  const Expr x = features_of(c);
  const std::int64_t supports = c.integer("n_supports", 0);
  const std::vector<double> w = c.exact_reals("coefficients");
  const Expr k = supports > 0 ? kernels(c, x, supports) : x;
  c.ignore({"kernel_type", "kernel_params", "support_vectors", "n_targets"});
  Expr y = c.apply(
      "dense", {k, numbers(c, w, {1, static_cast<std::int64_t>(w.size())}), numbers(c, {only_rho(c)}, {1})});
  if (c.integer("one_class", 0) != 0)
    y = c.apply("where", {binary(c, "greater", y, c.scalar(0, y)), c.scalar(1, y), c.scalar(-1, y)});
  c.result(transformed(c, y, c.text("post_transform", "NONE")));
}

/// One class against another, for all pairs: coefficients over the support vectors, and a shift.
Expr pair_scores(NodeContext& c, Expr k, const Ints& per_class, std::int64_t supports) {
  const std::vector<double> w = c.exact_reals("coefficients"), rho = c.exact_reals("rho");
  const auto classes = static_cast<std::int64_t>(per_class.size());
  const std::int64_t pairs = classes * (classes - 1) / 2;
  if (static_cast<std::int64_t>(w.size()) != checked::product(classes - 1, supports))
    c.fail(fmt::format("{} classes with {} support vectors have {} coefficients, not {}", classes, supports,
                       (classes - 1) * supports, w.size()));
  if (static_cast<std::int64_t>(rho.size()) != pairs)
    c.fail(fmt::format("{} pairs of classes have as many rho, not {}", pairs, rho.size()));
  c.spend_list(checked::product(pairs, supports));
  std::vector<double> weights(static_cast<std::size_t>(pairs * supports), 0);
  Ints begin(per_class.size() + 1, 0);
  for (std::size_t i = 0; i < per_class.size(); ++i) begin[i + 1] = begin[i] + per_class[i];
  std::size_t row = 0;
  for (std::int64_t i = 0; i < classes; ++i)
    for (std::int64_t j = i + 1; j < classes; ++j, ++row)
      for (std::int64_t s = 0; s < supports; ++s) {
        const auto of = [&](std::int64_t one) {
          return s >= begin[static_cast<std::size_t>(one)] && s < begin[static_cast<std::size_t>(one) + 1];
        };
        if (of(i) || of(j))
          weights[row * static_cast<std::size_t>(supports) + static_cast<std::size_t>(s)] =
              w[static_cast<std::size_t>((of(i) ? j - 1 : i) * supports + s)];
      }
  return c.apply("dense", {k, numbers(c, weights, {pairs, supports}), numbers(c, rho, {pairs})});
}

/// How often each class wins against another: [N, classes].
Expr votes(NodeContext& c, Expr scores, std::int64_t classes) {
  const std::int64_t pairs = classes * (classes - 1) / 2;
  std::vector<double> wins(static_cast<std::size_t>(classes * pairs), 0),
      losses(static_cast<std::size_t>(classes), 0);
  std::size_t pair = 0;
  for (std::int64_t i = 0; i < classes; ++i)
    for (std::int64_t j = i + 1; j < classes; ++j, ++pair) {
      wins[static_cast<std::size_t>(i * pairs) + pair] = 1;
      wins[static_cast<std::size_t>(j * pairs) + pair] = -1;
      losses[static_cast<std::size_t>(j)] += 1;
    }
  const Expr won =
      c.apply("cast", {binary(c, "greater", scores, c.scalar(0, scores))}, CastAttributes{scores.dtype()});
  return c.apply("dense", {won, numbers(c, wins, {classes, pairs}), numbers(c, losses, {classes})});
}

void svm_classifier(NodeContext& c) {
  const Expr x = features_of(c);
  const Ints per_class = c.integers("vectors_per_class"), integers = c.integers("classlabels_ints");
  std::int64_t supports = 0;
  for (const std::int64_t count : per_class) {
    if (count < 0 || count > std::int64_t{1} << 31)
      c.fail("vectors_per_class holds a number that counts nothing");
    supports += count;
  }
  const std::string how = c.text("post_transform", "NONE");
  const std::vector<double> a = c.exact_reals("prob_a"), b = c.exact_reals("prob_b");
  if (supports == 0) {
    const std::vector<double> w = c.exact_reals("coefficients");
    const auto classes = std::max<std::int64_t>(
        {static_cast<std::int64_t>(integers.size()), c.string_count("classlabels_strings"), 1});
    if (w.size() % static_cast<std::size_t>(classes) != 0)
      c.fail(fmt::format("{} coefficients are not a multiple of {} classes", w.size(), classes));
    c.ignore({"kernel_type", "kernel_params", "support_vectors"});
    const Expr scores = binary(
        c, "add",
        c.apply("dense",
                {x, numbers(c, w, {classes, static_cast<std::int64_t>(w.size()) / classes}), c.scalar(0, x)}),
        c.scalar(only_rho(c), x));
    c.result(transformed(c, scores, how), 1);
    return label_result(c, scores, "classlabels_ints", "classlabels_strings");
  }
  const auto classes = static_cast<std::int64_t>(per_class.size());
  const Expr scores = pair_scores(c, kernels(c, x, supports), per_class, supports);
  const auto negative = [&](Expr e) { return c.apply("neg", {e}); };
  if (!a.empty() && classes > 2)
    c.fail(
        "probabilities of more than two classes are found by an iteration over pairs, which is not "
        "supported; "
        "export it without them (probability=False), and its scores are explained");
  if (!a.empty()) {
    if (b.size() != a.size()) c.fail("prob_a and prob_b must be as long");
    const Expr first =
        c.apply("sigmoid",
                {negative(binary(c, "add", binary(c, "mul", scores, c.scalar(a[0], x)), c.scalar(b[0], x)))});
    const Expr p = c.apply("clip", {first}, ClipAttributes{1e-7, 1 - 1e-7});
    c.result(
        transformed(c, c.apply("concat", {p, binary(c, "sub", c.scalar(1, p), p)}, AxisAttributes{1}), how),
        1);
  } else if (classes == 2) {
    c.result(transformed(c, c.apply("concat", {negative(scores), scores}, AxisAttributes{1}), how), 1);
  } else {
    c.result(transformed(c, scores, how), 1);
  }
  label_result(c, votes(c, scores, classes), "classlabels_ints", "classlabels_strings");
}

}  // namespace

void add_svm(Handlers& h) {
  h["ai.onnx.ml.SVMRegressor"] = svm_regressor;
  h["ai.onnx.ml.SVMClassifier"] = svm_classifier;
}

}  // namespace rulegrad::io
