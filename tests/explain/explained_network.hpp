#pragma once

#include "rulegrad/ops/build.hpp"
#include "rulegrad/recipe/analyzer.hpp"

namespace rulegrad::testing {

/// conv, batch norm, relu, a residual sum of the relu and a second convolution of it, flatten, dense; named
/// like a file would name them. Weights are small whole numbers and quarters, so that sums are exact.
struct ExplainedNetwork {
  Graph graph{DType::float64};
  Expr x, y;

  ExplainedNetwork() {
    const auto numbers = [&](Dims dims, double start) {
      Tensor values = Tensor::uninitialized(DType::float64, std::move(dims));
      double v = start;
      for (double& to : values.mutable_values<double>()) {
        to = v;
        v = v > 1 ? v - 2.75 : v + 0.75;
      }
      return graph.constant(values);
    };
    const auto named = [&](Expr expr, const char* name) {
      graph.add_name(expr, name);
      return expr;
    };
    x = graph.input("image", {DType::float64, Shape{B, 1, 4, 4}});
    const Expr first = named(
        conv(x, numbers({2, 1, 3, 3}, -1), numbers({2}, 0.25), {.pads_begin = {1, 1}, .pads_end = {1, 1}}),
        "conv1");
    const Expr norm = named(batch_norm(first, numbers({2}, 0.5), numbers({2}, -0.25), numbers({2}, 0.25),
                                       graph.constant(Tensor({2}, {1.0, 4.0}))),
                            "bn1");
    const Expr active = named(relu(norm), "relu1");
    const Expr second = named(conv(active, numbers({2, 2, 1, 1}, -0.5), numbers({2}, 0.5)), "conv2");
    const Expr residual = named(active + second, "add");
    y = named(dense(named(flatten(residual), "flatten"), numbers({3, 32}, -1.5), numbers({3}, 0.75)),
              "scores");
  }

  [[nodiscard]] Question question() const {
    Question question;
    question.output = y;
    question.explained = {x};
    return question;
  }
};

}  // namespace rulegrad::testing
