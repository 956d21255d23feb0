#include "rulegrad/support/error.hpp"

namespace rulegrad {

std::string_view name_of(ErrorCode code) {
  switch (code) {
    case ErrorCode::invalid_argument:
      return "invalid_argument";
    case ErrorCode::shape:
      return "shape";
    case ErrorCode::dtype:
      return "dtype";
    case ErrorCode::unknown_name:
      return "unknown_name";
    case ErrorCode::rule:
      return "rule";
    case ErrorCode::unclaimed:
      return "unclaimed";
    case ErrorCode::model:
      return "model";
    case ErrorCode::io:
      return "io";
    case ErrorCode::non_finite:
      return "non_finite";
    case ErrorCode::missing_feature:
      return "missing_feature";
    case ErrorCode::cancelled:
      return "cancelled";
    case ErrorCode::internal:
      return "internal";
  }
  return "internal";
}

}  // namespace rulegrad
