#include "support/missing_feature.hpp"

#include <algorithm>
#include <fmt/format.h>

#include "rulegrad/support/error.hpp"
#include "rulegrad/version.hpp"

namespace rulegrad {

void fail_missing_feature(std::string_view operation, std::string_view feature) {
  const auto all = features();
  const auto& missing =
      *std::find_if(all.begin(), all.end(), [&](const Feature& f) { return f.name == feature; });
  throw Error(ErrorCode::missing_feature,
              fmt::format("[{}] this rulegrad was built without {}: install {} and build it again with "
                          "`meson configure -D{}=enabled`",
                          operation, missing.gives, missing.needs, missing.name));
}

}  // namespace rulegrad
