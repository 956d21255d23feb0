#include <algorithm>
#include <fmt/format.h>

#include "rulegrad/dsl.hpp"
#include "rulegrad/expr/expr.hpp"
#include "rulegrad/expr/operator_facts.hpp"
#include "rulegrad/ops/op_attributes.hpp"

#include "expr/derive_attributes.hpp"
#include "ops/families.hpp"
#include "ops/infer.hpp"

BOOST_HANA_ADAPT_STRUCT(rulegrad::MatmulAttributes, transpose_a, transpose_b);

namespace rulegrad {

template <>
const AttrType& attr_type<MatmulAttributes>() {
  static const AttrType type = derive_attr_type<MatmulAttributes>("matmul");
  return type;
}

namespace {

using namespace dsl::literals;

OpSchema dense_schema() {
  OpSchema s;
  s.name = "dense";
  s.interval = intervals::contraction;
  s.batch = [](Expr value, batches::Places operands) { return batches::but_along(value, operands, -1); };
  s.decides = decisions::none;
  s.finite = finite::always;
  s.passes = passing::anything;
  s.channels = ChannelAxes{-1, 0};
  s.doc = "x [..., I], w [O, I], b [O] -> x w^T + b [..., O].";
  s.operands = {{"x"}, {"w", Role::parameter}, {"b", Role::parameter, true}};
  s.classes = {OpClass::affine, OpClass::linear};
  s.infer = [](std::span<const Type> operands, const Attributes&) {
    const Shape &x = operands[0].shape, &w = operands[1].shape;
    const DType dtype = infer::common_dtype("dense", operands);
    if (w.rank() != 2)
      infer::fail("dense", fmt::format("weight must be [outputs, inputs] but is {}", to_string(w)));
    if (x.rank() < 2)
      infer::fail("dense", fmt::format("x must be [batch..., features] but is {}", to_string(x)));
    const Dim features = x[x.rank() - 1];
    if (features != w[1])
      infer::fail("dense", fmt::format("weight expects {} features (dim 1 of {}) but x has {} (dim {} of {})",
                                       to_string(w[1]), to_string(w), to_string(features), x.rank() - 1,
                                       to_string(x)));
    std::vector<Dim> dims = x.dims();
    dims.at(x.rank() - 1) = w[0];
    Shape result(std::move(dims));
    const auto wide = broadcast(operands[2].shape, result);
    if (!wide || *wide != result)
      infer::fail("dense", fmt::format("bias {} does not broadcast to the result {}",
                                       to_string(operands[2].shape), to_string(result)));
    return Type{dtype, std::move(result)};
  };
  s.examples = [](RandomEngine&) {
    return std::vector<OpExample>{{{{.dims = {4, 5}}, {.dims = {3, 5}}, {.dims = {3}}}, {}},
                                  {{{.dims = {2, 3, 4}}, {.dims = {2, 4}}, {.dims = {2}}}, {}},
                                  {{{.dims = {1, 6}}, {.dims = {4, 6}}, {.dims = {}}}, {}}};
  };
  using namespace dsl;
  using namespace dsl::letters;
  s.derivatives = lower(rules("derivatives.dense", rewrite(vjp(dense(x, w, _), g), wrt(x), matmul(g, w)),
                              rewrite(vjp(dense(x, w, _), g), wrt(w), dense_weight_grad(x, g)),
                              rewrite(vjp(dense(_, _, b), g), wrt(b), sum_to(g, "shape"_a = shape(b)))))
                      .rules;
  return s;
}

OpSchema dense_weight_grad_schema() {
  OpSchema s;
  s.name = "dense_weight_grad";
  s.interval = intervals::contraction;
  s.batch = batches::mixing;
  s.decides = decisions::none;
  s.finite = finite::always;
  s.passes = passing::anything;
  s.doc =
      "The adjoint of dense for its weight: x [..., I], g [..., O] -> sum of g^T x over the leading axes [O, "
      "I].";
  s.operands = {{"x"}, {"g"}};
  s.classes = {OpClass::linear};
  s.infer = [](std::span<const Type> operands, const Attributes&) {
    const Shape &x = operands[0].shape, &g = operands[1].shape;
    const DType dtype = infer::common_dtype("dense_weight_grad", operands);
    if (x.rank() < 1 || x.rank() != g.rank() ||
        !std::equal(x.dims().begin(), x.dims().end() - 1, g.dims().begin()))
      infer::fail("dense_weight_grad", fmt::format("x {} and g {} must agree in all axes but the last",
                                                   to_string(x), to_string(g)));
    return Type{dtype, Shape{g[g.rank() - 1], x[x.rank() - 1]}};
  };
  s.examples = [](RandomEngine&) {
    return std::vector<OpExample>{{{{.dims = {4, 5}}, {.dims = {4, 3}}}, {}},
                                  {{{.dims = {2, 3, 4}}, {.dims = {2, 3, 2}}}, {}}};
  };
  using namespace dsl;
  using namespace dsl::letters;
  s.derivatives = lower(rules("derivatives.dense_weight_grad",
                              rewrite(vjp(dense_weight_grad(x, g), h), wrt(x), matmul(g, h)),
                              rewrite(vjp(dense_weight_grad(x, g), h), wrt(g), dense(x, h, 0))))
                      .rules;
  return s;
}

/// The batch is not among what is summed over; rows and columns go where the product has them.
BatchFlow multiplied(Expr value, batches::Places operands) {
  const auto& attributes = value.attributes<MatmulAttributes>();
  const std::size_t result_rank = value.shape().rank();
  std::optional<BatchPlace> result;
  for (std::size_t i = 0; i < 2; ++i) {
    auto at = operands[i];
    if (!at) continue;
    const std::size_t rank = value.operand(i).shape().rank();
    const std::size_t from_back = rank - 1 - at->axis;
    const bool swapped = i == 0 ? attributes.transpose_a : attributes.transpose_b;
    const std::size_t contracted = (i == 0) != swapped ? 0 : 1;
    if (rank < 2 || from_back == contracted) return batches::mixing(value, operands);
    at->axis = from_back < 2 ? result_rank - (i == 0 ? 2 : 1) : result_rank - 1 - from_back;
    if (result && *result != *at) return batches::mixing(value, operands);
    result = at;
  }
  return {false, result};
}

OpSchema matmul_schema() {
  OpSchema s;
  s.name = "matmul";
  s.interval = intervals::contraction;
  s.batch = multiplied;
  s.decides = decisions::none;
  s.finite = finite::always;
  s.passes = passing::anything;
  s.doc =
      "NumPy's matrix product of the last two axes, the others broadcast: a [..., M, K], b [..., K, N] -> "
      "[..., M, N].";
  s.operands = {{"a"}, {"b"}};
  s.attributes = &attr_type<MatmulAttributes>();
  s.classes = {OpClass::linear};
  s.infer = [](std::span<const Type> operands, const Attributes& attributes) {
    const auto& t = attributes.as<MatmulAttributes>();
    const Shape &a = operands[0].shape, &b = operands[1].shape;
    const DType dtype = infer::common_dtype("matmul", operands);
    for (const Shape* shape : {&a, &b})
      if (shape->rank() < 2)
        infer::fail("matmul", fmt::format("operands must have at least two axes but are {} and {}",
                                          to_string(a), to_string(b)));
    const std::size_t ra = a.rank(), rb = b.rank();
    const std::size_t inner_a = t.transpose_a ? ra - 2 : ra - 1, inner_b = t.transpose_b ? rb - 1 : rb - 2;
    if (a[inner_a] != b[inner_b])
      infer::fail("matmul", fmt::format("a has {} columns (dim {} of {}) but b has {} rows (dim {} of {})",
                                        to_string(a[inner_a]), inner_a, to_string(a), to_string(b[inner_b]),
                                        inner_b, to_string(b)));
    const auto lead = broadcast(Shape(std::vector<Dim>(a.dims().begin(), a.dims().end() - 2)),
                                Shape(std::vector<Dim>(b.dims().begin(), b.dims().end() - 2)));
    if (!lead)
      infer::fail("matmul",
                  fmt::format("the leading axes of {} and {} do not broadcast", to_string(a), to_string(b)));
    std::vector<Dim> dims = lead->dims();
    dims.push_back(a[t.transpose_a ? ra - 1 : ra - 2]);
    dims.push_back(b[t.transpose_b ? rb - 2 : rb - 1]);
    return Type{dtype, Shape(std::move(dims))};
  };
  s.examples = [](RandomEngine&) {
    return std::vector<OpExample>{{{{.dims = {3, 4}}, {.dims = {4, 2}}}, {}},
                                  {{{.dims = {2, 3, 4}}, {.dims = {4, 5}}}, {}},
                                  {{{.dims = {2, 1, 3, 4}}, {.dims = {3, 4, 2}}}, {}},
                                  {{{.dims = {2, 4, 3}}, {.dims = {2, 4, 5}}}, MatmulAttributes{true, false}},
                                  {{{.dims = {2, 3, 4}}, {.dims = {2, 5, 4}}}, MatmulAttributes{false, true}},
                                  {{{.dims = {4, 3}}, {.dims = {5, 4}}}, MatmulAttributes{true, true}}};
  };
  using namespace dsl;
  using namespace dsl::letters;
  // d op(A) = g op(B)^T and d op(B) = op(A)^T g, with the transposes moved into the flags.
  s.derivatives =
      lower(rules("derivatives.matmul",
                  rewrite(vjp(y = matmul(a, b), g), wrt(a), when(y["transpose_a"] == 0),
                          sum_to(matmul(g, b, "transpose_b"_a = 1 - y["transpose_b"]), "shape"_a = shape(a))),
                  rewrite(vjp(y = matmul(a, b), g), wrt(a),
                          sum_to(matmul(b, g, "transpose_a"_a = y["transpose_b"], "transpose_b"_a = 1),
                                 "shape"_a = shape(a))),
                  rewrite(vjp(y = matmul(a, b), g), wrt(b), when(y["transpose_b"] == 0),
                          sum_to(matmul(a, g, "transpose_a"_a = 1 - y["transpose_a"]), "shape"_a = shape(b))),
                  rewrite(vjp(y = matmul(a, b), g), wrt(b),
                          sum_to(matmul(g, a, "transpose_a"_a = 1, "transpose_b"_a = y["transpose_a"]),
                                 "shape"_a = shape(b)))))
          .rules;
  return s;
}

}  // namespace

std::vector<OpSchema> affine_operators() {
  std::vector<OpSchema> all;
  all.push_back(dense_schema());
  all.push_back(dense_weight_grad_schema());
  all.push_back(matmul_schema());
  return all;
}

}  // namespace rulegrad
