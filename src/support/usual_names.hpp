#pragma once

#include <string>
#include <string_view>

namespace rulegrad {

/// A name as it is compared where people may spell it differently: in small letters, with `_` for `-` and
/// blanks.
[[nodiscard]] std::string folded(std::string_view name);

/// What a method or operator is called here that is known elsewhere by this name (`saliency`: gradient);
/// empty if it is not.
[[nodiscard]] std::string_view usual_name(std::string_view name);

}  // namespace rulegrad
