#include "rulegrad/expr/leaves.hpp"
#include "rulegrad/ops/operators.hpp"
#include "rulegrad/ops/samples.hpp"
#include "rulegrad/support/error.hpp"

#include "ops/families.hpp"
#include "support/text.hpp"

namespace rulegrad {

const Operators& Operators::builtin() {
  static const Operators operators = [] {
    Operators all;
    // Leaves and gradient nodes are shared objects: graphs refer to them without a registry.
    for (const OpSchema* shared : {&input_schema(), &constant_schema(), &grad_schema(), &vjp_schema(),
                                   &sample_index_schema(), &batch_index_schema(), &reduce_samples_schema()}) {
      all.schemas_.push_back(std::shared_ptr<const OpSchema>(std::shared_ptr<void>(), shared));
      all.by_name_.emplace(shared->name, shared);
    }
    for (const auto family :
         {affine_operators, conv_operators, pool_operators, norm_operators, row_norm_operators,
          activation_operators, elementwise_operators, arithmetic_operators, choice_operators,
          reduction_operators, movement_operators, slicing_operators, indexing_operators, gathering_operators,
          tree_operators, random_operators})
      for (OpSchema& schema : family()) all.add(std::move(schema));
    return all;
  }();
  return operators;
}

const OpSchema& Operators::add(OpSchema schema) {
  return add(std::make_shared<const OpSchema>(std::move(schema)));
}

const OpSchema& Operators::add(std::shared_ptr<const OpSchema> schema) {
  if (find(schema->name) != nullptr)
    throw Error(ErrorCode::invalid_argument,
                "an operator '" + schema->name + "' exists already; choose another name");
  const auto& added = schemas_.emplace_back(std::move(schema));
  by_name_.emplace(added->name, added.get());
  return *added;
}

const OpSchema* Operators::find(std::string_view name) const {
  const auto found = by_name_.find(name);
  return found == by_name_.end() ? nullptr : found->second;
}

const OpSchema& Operators::at(std::string_view name) const {
  if (const OpSchema* schema = find(name)) return *schema;
  throw Error(ErrorCode::unknown_name, unknown_name_message("operator", name, names()));
}

std::vector<std::string> Operators::names() const {
  std::vector<std::string> result;
  for (const auto& schema : schemas_) result.push_back(schema->name);
  return result;
}

}  // namespace rulegrad
