// Behind convolutions channels lie in blocks (where oneDNN is there): every operation gives the bits that it
// gives on rows.
#include <doctest/doctest.h>
#include <functional>
#include <random>
#include <string>

#include "rulegrad/ops/build.hpp"
#include "rulegrad/ops/op_attributes.hpp"
#include "rulegrad/ops/operators.hpp"
#include "rulegrad/run/program.hpp"

using namespace rulegrad;

namespace {

constexpr std::int64_t channels = 32;

/// A 1x1 convolution that leaves every bit as it is, and large enough for the fast kernels.
Expr copied(Expr x) {
  const std::int64_t count = x.shape()[1].factor;
  Tensor identity(DType::float32, {count, count, 1, 1});
  for (std::int64_t c = 0; c < count; ++c)
    identity.mutable_values<float>()[static_cast<std::size_t>(c * count + c)] = 1;
  return conv(x, x.graph().constant(identity));
}

Tensor random_tensor(Dims dims, unsigned seed) {
  std::mt19937 random(seed);
  std::uniform_int_distribution<int> next(-4, 4);  // with many equal values: the first maximum counts
  Tensor values(DType::float32, std::move(dims));
  for (float& value : values.mutable_values<float>()) value = static_cast<float>(next(random)) / 4;
  return values;
}

Expr make(const char* name, std::vector<Expr> operands, Attributes attributes = {}) {
  Graph& graph = operands[0].graph();
  return graph.make(op(name), std::move(operands), std::move(attributes));
}

struct Case {
  std::string name;
  std::function<Expr(Expr x, Expr g)> of;  // x is [B, 32, 18, 17] in blocks; g is its own twin
  bool blocked;                            // needs no copy to rows before its result
};

std::vector<Case> cases() {
  using A = Attributes;
  std::vector<Case> all;
  const auto add = [&](std::string name, std::function<Expr(Expr, Expr)> of, bool blocked = true) {
    all.push_back({std::move(name), std::move(of), blocked});
  };
  const std::vector<std::pair<std::string, PoolAttributes>> windows{
      {"2x2", {{2, 2}, {2, 2}, {0, 0}, {0, 0}, {1, 1}}},
      {"3x3 of stride 2, padded", {{3, 3}, {2, 2}, {1, 1}, {1, 1}, {1, 1}}},
      {"3x3 of stride 2, ceil", {{3, 3}, {2, 2}, {0, 0}, {0, 0}, {1, 1}, true}},
      {"2x3 dilated", {{2, 3}, {1, 2}, {0, 2}, {1, 1}, {2, 2}}},
      {"whole", {{18, 17}, {1, 1}, {0, 0}, {0, 0}, {1, 1}}},
  };
  for (const auto& [name, p] : windows) {
    add("max_pool " + name, [p = p](Expr x, Expr) { return max_pool(x, p); });
    // The cotangent is the pooled twin: of the result's extents, and in blocks as it is.
    add("max_pool_vjp " + name, [p = p](Expr x, Expr g) {
      return make("max_pool_vjp", {x, max_pool(g, p)}, A(p));
    });
    add("max_pool_jvp " + name, [p = p](Expr x, Expr g) { return make("max_pool_jvp", {x, g}, A(p)); });
    for (const bool padding : {false, true}) {
      const AvgPoolAttributes a{p.kernel, p.strides, p.pads_begin, p.pads_end, p.dilations, p.ceil, padding};
      add("avg_pool " + name, [a](Expr x, Expr) { return avg_pool(x, a); });
      add("avg_pool_vjp " + name, [a](Expr, Expr g) {
        return make("avg_pool_vjp", {avg_pool(g, a)},
                    A(AvgPoolVjpAttributes{a.kernel,
                                           a.strides,
                                           a.pads_begin,
                                           a.pads_end,
                                           a.dilations,
                                           a.ceil,
                                           a.count_padding,
                                           {18, 17}}));
      });
    }
  }
  add("concat", [](Expr x, Expr g) { return concat(std::vector{x, g, x}, 1); });
  add(
      "concat of entries",
      [](Expr x, Expr g) {
        return concat(std::vector{x, g}, 2);
      },
      false);
  add("slice of whole blocks", [](Expr x, Expr) {
    return make("slice", {x}, A(SliceAttributes{{1}, {16}, {32}, {1}}));
  });
  add(
      "slice across blocks",
      [](Expr x, Expr) {
        return make("slice", {x}, A(SliceAttributes{{1}, {3}, {29}, {1}}));
      },
      false);
  add(
      "slice backwards",
      [](Expr x, Expr) {
        return make("slice", {x}, A(SliceAttributes{{1}, {31}, {-1}, {-1}}));
      },
      false);
  add(
      "slice of rows",
      [](Expr x, Expr) {
        return make("slice", {x}, A(SliceAttributes{{2}, {2}, {9}, {1}}));
      },
      false);
  add("slice_vjp", [](Expr x, Expr) {
    return make("slice_vjp", {x}, A(SliceVjpAttributes{{1}, {16}, {48}, {1}, Shape{B, 64, 18, 17}}));
  });
  add("relu", [](Expr x, Expr) { return relu(x); });
  add("mask", [](Expr x, Expr g) {
    return make("where", {make("greater", {x, x.graph().scalar(0.25)}), g, g * 0.5});
  });
  add("one number a channel", [](Expr x, Expr) {
    return x * x.graph().constant(random_tensor({channels, 1, 1}, 5)) + 1.0;
  });
  add("one number a position", [](Expr x, Expr) {
    return x + x.graph().constant(random_tensor({18, 17}, 6));
  });
  add("one number a row, for each channel", [](Expr x, Expr) {
    return x * x.graph().constant(random_tensor({1, channels, 18, 1}, 7));
  });
  add(
      "flatten", [](Expr x, Expr) { return flatten(x) * 2.0; }, false);
  add(
      "transpose",
      [](Expr x, Expr) {
        return transpose(x, {0, 2, 3, 1});
      },
      false);
  add(
      "sum of channels", [](Expr x, Expr) { return sum(x, {1}, true); }, false);
  add(
      "mean of positions",
      [](Expr x, Expr) {
        return mean(x, {2, 3});
      },
      false);
  add(
      "softmax", [](Expr x, Expr) { return softmax(x, 1); }, false);
  return all;
}

}  // namespace

TEST_CASE("operations on blocks of channels give the bits that they give on rows") {
  const Tensor x = random_tensor({2, channels, 18, 17}, 1), g = random_tensor({2, channels, 18, 17}, 2);
  for (const Case& c : cases()) {
    CAPTURE(c.name);
    Graph graph;
    const Type type{DType::float32, Shape{B, channels, 18, 17}};
    const Expr y = c.of(copied(graph.input("x", type)), copied(graph.input("g", type)));
    const Program fast = Program::compile(std::vector{y}, {.little_on_one_thread = false, .poison = true});
    const Tensor rows = Program::compile(std::vector{y}, {.kernels = &Kernels::portable(), .fuse = false})
                            .run({{"x", x}, {"g", g}})[0];
    const auto results = std::vector{fast.run({{"x", x}, {"g", g}}, {.threads = 1})[0],
                                     fast.run({{"x", x}, {"g", g}}, {.threads = 3})[0]};
    for (const Tensor& result : results) {
      REQUIRE(result.dims() == rows.dims());
      std::int64_t different = 0;
      for (std::int64_t i = 0; i < rows.size(); ++i) different += result.at(i) != rows.at(i) ? 1 : 0;
      CHECK(different == 0);
    }
    // What is computed in blocks is copied once, to leave.
    const std::string text = fast.print({2, 1});
    if (c.blocked && text.find("channels in blocks") != std::string::npos) {
      std::size_t copies = 0;
      for (std::size_t at = text.find("reorder(%"); at != std::string::npos;
           at = text.find("reorder(%", at + 1))
        ++copies;
      CHECK_MESSAGE(copies <= 1, text);
    }
  }
}
