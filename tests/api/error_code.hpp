#pragma once

#include <doctest/doctest.h>
#include <functional>
#include <string>

#include "rulegrad/support/error.hpp"

namespace rulegrad::testing {

/// The code of what `f` throws, whose text must hold `text`.
inline ErrorCode code_of(const std::function<void()>& f, const std::string& text) {
  try {
    f();
  } catch (const Error& error) {
    INFO(error.what());
    CHECK(std::string(error.what()).find(text) != std::string::npos);
    return error.code();
  }
  FAIL("nothing was thrown");
  return ErrorCode::internal;
}

}  // namespace rulegrad::testing
