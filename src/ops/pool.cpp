#include <fmt/format.h>

#include "rulegrad/dsl.hpp"
#include "rulegrad/expr/operator_facts.hpp"
#include "rulegrad/ops/op_attributes.hpp"

#include "expr/derive_attributes.hpp"
#include "ops/families.hpp"
#include "ops/infer.hpp"
#include "ops/windows.hpp"

BOOST_HANA_ADAPT_STRUCT(rulegrad::PoolAttributes, kernel, strides, pads_begin, pads_end, dilations, ceil);
BOOST_HANA_ADAPT_STRUCT(rulegrad::AvgPoolAttributes, kernel, strides, pads_begin, pads_end, dilations, ceil,
                        count_padding);
BOOST_HANA_ADAPT_STRUCT(rulegrad::AvgPoolVjpAttributes, kernel, strides, pads_begin, pads_end, dilations,
                        ceil, count_padding, spatial);

namespace rulegrad {

template <>
const AttrType& attr_type<PoolAttributes>() {
  static const AttrType type = derive_attr_type<PoolAttributes>("pool");
  return type;
}
template <>
const AttrType& attr_type<AvgPoolAttributes>() {
  static const AttrType type = derive_attr_type<AvgPoolAttributes>("avg_pool");
  return type;
}
template <>
const AttrType& attr_type<AvgPoolVjpAttributes>() {
  static const AttrType type = derive_attr_type<AvgPoolVjpAttributes>("avg_pool_vjp");
  return type;
}

namespace {

using namespace dsl::literals;

template <class A>
Attributes normalized_pool(const std::string& op, std::span<const Type> operands,
                           const Attributes& attributes) {
  A a = attributes.as<A>();
  const Shape& x = operands[0].shape;
  if (x.rank() < 3 || x.rank() > 5)
    infer::fail(op, fmt::format("x must be [batch, channels, 1 to 3 spatial axes] but is {}", to_string(x)));
  if (a.kernel.size() + 2 != x.rank())
    infer::fail(op, fmt::format("kernel {} has {} numbers but x {} has {} spatial axes", to_string(a.kernel),
                                a.kernel.size(), to_string(x), x.rank() - 2));
  windows::fill_lists(op, x.rank() - 2, a.strides, a.pads_begin, a.pads_end, a.dilations);
  // Beyond that a window could hold padding alone, and a maximum or mean of nothing has no meaning.
  for (std::size_t i = 0; i < a.kernel.size(); ++i) {
    const std::int64_t span = a.dilations[i] * (a.kernel[i] - 1) + 1;
    if (a.kernel[i] < 1 || a.pads_begin[i] >= span || a.pads_end[i] >= span)
      infer::fail(op, fmt::format("padding {} and {} along spatial axis {} must stay below the window of {}",
                                  a.pads_begin[i], a.pads_end[i], i, span));
  }
  return a;
}

template <class A>
Shape pooled(const std::string& op, const Shape& x, const A& a) {
  std::vector<Dim> dims{x[0], x[1]};
  for (const std::int64_t extent :
       windows::extents(op, x, a.kernel, a.strides, a.pads_begin, a.pads_end, a.dilations, a.ceil))
    dims.emplace_back(extent);
  return Shape(std::move(dims));
}

std::vector<PoolAttributes> geometries() {
  return {{{2, 2}, {2, 2}, {0, 0}, {0, 0}, {1, 1}, false},
          {{3, 3}, {2, 2}, {1, 1}, {1, 1}, {1, 1}, false},
          {{3, 2}, {2, 1}, {0, 1}, {1, 0}, {1, 1}, true},
          {{2, 2}, {1, 1}, {0, 0}, {0, 0}, {2, 1}, false}};
}

/// Distinct values, so that differences meet no tie.
ExampleOperand distinct(Dims dims) {
  return {.dims = std::move(dims), .low = -4, .high = 4, .gap = 0.01};
}

OpSchema max_pool_schema() {
  OpSchema s;
  s.name = "max_pool";
  s.interval = intervals::same;  // its padding never wins
  s.batch = batches::in_front;
  s.decides = decisions::none;
  s.finite = finite::always;
  s.passes = passing::moved;
  s.doc =
      "The maximum of each window over the spatial axes of x [N, C, spatial...]; NaN wins, padding never "
      "does.";
  s.operands = {{"x"}};
  s.attributes = &attr_type<PoolAttributes>();
  s.classes = {OpClass::pool};
  s.normalize = [](std::span<const Type> operands, const Attributes& attributes) {
    return normalized_pool<PoolAttributes>("max_pool", operands, attributes);
  };
  s.infer = [](std::span<const Type> operands, const Attributes& attributes) {
    return Type{operands[0].dtype, pooled("max_pool", operands[0].shape, attributes.as<PoolAttributes>())};
  };
  s.examples = [](RandomEngine&) {
    std::vector<OpExample> all;
    for (const PoolAttributes& a : geometries()) all.push_back({{distinct({2, 2, 6, 5})}, a});
    all.push_back({{distinct({2, 3, 8})}, PoolAttributes{{3}, {2}, {1}, {0}, {1}, false}});
    all.push_back({{distinct({1, 2, 4, 4, 4})},
                   PoolAttributes{{2, 2, 2}, {2, 2, 2}, {0, 0, 0}, {0, 0, 0}, {1, 1, 1}, false}});
    return all;
  };
  using namespace dsl;
  using namespace dsl::letters;
  s.derivatives =
      lower(rules("derivatives.max_pool", rewrite(vjp(y = max_pool(x), g), max_pool_vjp(x, g, like(y)))))
          .rules;
  return s;
}

OpSchema max_pool_vjp_schema() {
  OpSchema s;
  s.name = "max_pool_vjp";
  s.interval = [](Expr, std::span<const Interval> operands) { return intervals::sums(operands[1]); };
  s.batch = batches::in_front;
  s.decides = decisions::each({Asks::zero, Asks::nothing});
  s.finite = finite::always;
  s.passes = passing::moved;
  s.doc = "g of each window goes to the first maximum of x in row-major order; overlapping windows add.";
  s.operands = {{"x"}, {"g"}};
  s.attributes = &attr_type<PoolAttributes>();
  s.normalize = [](std::span<const Type> operands, const Attributes& attributes) {
    return normalized_pool<PoolAttributes>("max_pool_vjp", operands, attributes);
  };
  s.infer = [](std::span<const Type> operands, const Attributes& attributes) {
    (void)infer::common_dtype("max_pool_vjp", operands);
    const Shape expected = pooled("max_pool_vjp", operands[0].shape, attributes.as<PoolAttributes>());
    if (operands[1].shape != expected)
      infer::fail("max_pool_vjp", fmt::format("g must have the shape of the pooled x, {}, but is {}",
                                              to_string(expected), to_string(operands[1].shape)));
    return operands[0];
  };
  s.examples = [](RandomEngine&) {
    std::vector<OpExample> all;
    all.push_back({{distinct({2, 2, 6, 5}), {.dims = {2, 2, 3, 2}}}, geometries()[0]});
    all.push_back({{distinct({2, 2, 6, 5}), {.dims = {2, 2, 3, 3}}}, geometries()[1]});
    return all;
  };
  using namespace dsl;
  using namespace dsl::letters;
  s.derivatives = lower(rules("derivatives.max_pool_vjp", rewrite(vjp(max_pool_vjp(x, _), _), wrt(x), 0),
                              rewrite(vjp(y = max_pool_vjp(x, g), h), wrt(g), max_pool_jvp(x, h, like(y)))))
                      .rules;
  return s;
}

OpSchema max_pool_jvp_schema() {
  OpSchema s;
  s.name = "max_pool_jvp";
  s.interval = [](Expr, std::span<const Interval> operands) {
    return intervals::either(operands[1], intervals::zero);
  };
  s.batch = batches::in_front;
  s.decides = decisions::each({Asks::zero, Asks::nothing});
  s.finite = finite::always;
  s.passes = passing::moved;
  s.doc = "t where x has the first maximum of each window: the adjoint of max_pool_vjp for g.";
  s.operands = {{"x"}, {"t"}};
  s.attributes = &attr_type<PoolAttributes>();
  s.normalize = [](std::span<const Type> operands, const Attributes& attributes) {
    return normalized_pool<PoolAttributes>("max_pool_jvp", operands, attributes);
  };
  s.infer = [](std::span<const Type> operands, const Attributes& attributes) {
    (void)infer::common_dtype("max_pool_jvp", operands);
    if (operands[0].shape != operands[1].shape)
      infer::fail("max_pool_jvp", fmt::format("x {} and t {} must have one shape",
                                              to_string(operands[0].shape), to_string(operands[1].shape)));
    return Type{operands[0].dtype,
                pooled("max_pool_jvp", operands[0].shape, attributes.as<PoolAttributes>())};
  };
  s.examples = [](RandomEngine&) {
    std::vector<OpExample> all;
    for (const PoolAttributes& a : geometries())
      all.push_back({{distinct({2, 2, 6, 5}), {.dims = {2, 2, 6, 5}}}, a});
    return all;
  };
  using namespace dsl;
  using namespace dsl::letters;
  s.derivatives = lower(rules("derivatives.max_pool_jvp", rewrite(vjp(max_pool_jvp(x, _), _), wrt(x), 0),
                              rewrite(vjp(y = max_pool_jvp(x, t), g), wrt(t), max_pool_vjp(x, g, like(y)))))
                      .rules;
  return s;
}

OpSchema avg_pool_schema() {
  OpSchema s;
  s.name = "avg_pool";
  s.interval = intervals::sums_of_first;
  s.batch = batches::in_front;
  s.decides = decisions::none;
  s.finite = finite::always;
  s.passes = passing::summed;
  s.doc =
      "The mean of each window over the spatial axes of x [N, C, spatial...]; padding counts where "
      "count_padding says so.";
  s.operands = {{"x"}};
  s.attributes = &attr_type<AvgPoolAttributes>();
  s.classes = {OpClass::pool, OpClass::linear};
  s.normalize = [](std::span<const Type> operands, const Attributes& attributes) {
    return normalized_pool<AvgPoolAttributes>("avg_pool", operands, attributes);
  };
  s.infer = [](std::span<const Type> operands, const Attributes& attributes) {
    return Type{operands[0].dtype, pooled("avg_pool", operands[0].shape, attributes.as<AvgPoolAttributes>())};
  };
  s.examples = [](RandomEngine&) {
    std::vector<OpExample> all;
    for (const bool counted : {false, true})
      for (const PoolAttributes& a : geometries())
        all.push_back(
            {{{.dims = {2, 2, 6, 5}}},
             AvgPoolAttributes{a.kernel, a.strides, a.pads_begin, a.pads_end, a.dilations, a.ceil, counted}});
    all.push_back({{{.dims = {2, 3, 8}}}, AvgPoolAttributes{{8}, {8}, {0}, {0}, {1}, false, false}});
    return all;
  };
  using namespace dsl;
  using namespace dsl::letters;
  s.derivatives =
      lower(rules("derivatives.avg_pool",
                  rewrite(vjp(y = avg_pool(x), g), avg_pool_vjp(g, like(y), "spatial"_a = spatial(x)))))
          .rules;
  return s;
}

OpSchema avg_pool_vjp_schema() {
  OpSchema s;
  s.name = "avg_pool_vjp";
  s.interval = intervals::sums_of_first;
  s.batch = batches::in_front;
  s.decides = decisions::none;
  s.finite = finite::always;
  s.passes = passing::summed;
  s.doc = "The adjoint of avg_pool: g spread evenly over the windows that it came from.";
  s.operands = {{"g"}};
  s.classes = {OpClass::linear};
  s.attributes = &attr_type<AvgPoolVjpAttributes>();
  s.normalize = [](std::span<const Type> operands, const Attributes& attributes) {
    return normalized_pool<AvgPoolVjpAttributes>("avg_pool_vjp", operands, attributes);
  };
  s.infer = [](std::span<const Type> operands, const Attributes& attributes) {
    const auto& a = attributes.as<AvgPoolVjpAttributes>();
    const Shape& g = operands[0].shape;
    std::vector<Dim> dims{g[0], g[1]};
    for (const std::int64_t extent : a.spatial) dims.emplace_back(extent);
    Shape result(std::move(dims));
    if (result.rank() != g.rank() || pooled("avg_pool_vjp", result, a) != g)
      infer::fail("avg_pool_vjp",
                  fmt::format("g {} is no pooling of spatial {}", to_string(g), to_string(a.spatial)));
    return Type{operands[0].dtype, std::move(result)};
  };
  s.examples = [](RandomEngine&) {
    return std::vector<OpExample>{
        {{{.dims = {2, 2, 3, 2}}},
         AvgPoolVjpAttributes{{2, 2}, {2, 2}, {0, 0}, {0, 0}, {1, 1}, false, false, {6, 5}}},
        {{{.dims = {2, 2, 3, 3}}},
         AvgPoolVjpAttributes{{3, 3}, {2, 2}, {1, 1}, {1, 1}, {1, 1}, false, true, {6, 5}}}};
  };
  using namespace dsl;
  using namespace dsl::letters;
  s.derivatives =
      lower(rules("derivatives.avg_pool_vjp", rewrite(vjp(y = avg_pool_vjp(_), g), avg_pool(g, like(y)))))
          .rules;
  return s;
}

}  // namespace

std::vector<OpSchema> pool_operators() {
  std::vector<OpSchema> all;
  all.push_back(max_pool_schema());
  all.push_back(max_pool_vjp_schema());
  all.push_back(max_pool_jvp_schema());
  all.push_back(avg_pool_schema());
  all.push_back(avg_pool_vjp_schema());
  return all;
}

}  // namespace rulegrad
