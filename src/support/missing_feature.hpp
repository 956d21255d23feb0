#pragma once

#include <string_view>

namespace rulegrad {

/// Throws Error(missing_feature) that says what cannot be done, which option of the build turns it on, and
/// what it needs. `feature` is a name of `features()`.
[[noreturn]] void fail_missing_feature(std::string_view operation, std::string_view feature);

}  // namespace rulegrad
