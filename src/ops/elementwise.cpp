#include "ops/families.hpp"
#include "ops/infer.hpp"

namespace rulegrad {
namespace {

OpSchema unary(std::string name, std::string doc, std::vector<OpClass> classes) {
  OpSchema s;
  s.infer = infer::floating_same_as_first(name);
  s.name = std::move(name);
  s.doc = std::move(doc);
  s.operands = {{"x"}};
  s.classes = std::move(classes);
  s.samples = [](std::mt19937_64&) {
    return std::vector<OpSample>{{{{.dims = {2, 3}, .gap = 0.05}}, {}}, {{{.dims = {2, 3, 4, 2}, .gap = 0.02}}, {}}};
  };
  return s;
}

OpSchema binary(std::string name, std::string doc) {
  OpSchema s;
  s.infer = infer::broadcasting(name);
  s.name = std::move(name);
  s.doc = std::move(doc);
  s.operands = {{"a"}, {"b"}};
  s.classes = {OpClass::elementwise};
  s.samples = [](std::mt19937_64&) {
    return std::vector<OpSample>{{{{.dims = {2, 3}}, {.dims = {2, 3}}}, {}},
                                 {{{.dims = {2, 3, 4}}, {.dims = {3, 1}}}, {}},
                                 {{{.dims = {}}, {.dims = {2, 5}}}, {}}};
  };
  return s;
}

}  // namespace

std::vector<OpSchema> elementwise_operators() {
  std::vector<OpSchema> all;
  all.push_back(unary("relu", "max(x, 0)", {OpClass::activation, OpClass::elementwise}));
  all.push_back(binary("add", "a + b, broadcast"));
  all.back().commutative = true;
  return all;
}

}  // namespace rulegrad
