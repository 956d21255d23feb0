#pragma once

#include <span>
#include <string_view>

namespace [[gnu::visibility("default")]] rulegrad {

/// `0.1.0`: the version of the library that the program runs with.
[[nodiscard]] std::string_view version();

/// What a build of the library may go without.
struct Feature {
  std::string_view name;   ///< `onnx`: also the name of the Meson option
  std::string_view gives;  ///< `ONNX files`
  std::string_view needs;  ///< packages of Debian that turn it on
  bool available = false;
};

/// All optional features, those that are missing too.
[[nodiscard]] std::span<const Feature> features();

}  // namespace rulegrad
