#pragma once

#include <algorithm>
#include <cstdlib>
#include <doctest/doctest.h>
#include <filesystem>
#include <string>

#include "rulegrad/files/picture.hpp"

#include "places.hpp"

/// Compares a picture with the one stored under tests/draw/snapshots. Neighbouring values pass: compilers may
/// fuse multiplications and additions. RULEGRAD_UPDATE_SNAPSHOTS=1 stores the picture instead; look at it
/// before you commit it.
inline void check_snapshot(const rulegrad::io::Picture& picture, const std::string& name) {
  const auto path = source_root() / "tests/draw/snapshots" / (name + ".png");
  if (const char* update = std::getenv("RULEGRAD_UPDATE_SNAPSHOTS");
      update != nullptr && std::string(update) == "1") {
    std::filesystem::create_directories(path.parent_path());
    rulegrad::io::write_png(path, picture);
    MESSAGE("stored ", path.string());
  }
  const rulegrad::io::Picture stored = rulegrad::io::read_picture(path);
  CAPTURE(name);
  REQUIRE(stored.width == picture.width);
  REQUIRE(stored.height == picture.height);
  REQUIRE(stored.channels == picture.channels);
  int most = 0;
  for (std::size_t i = 0; i < stored.pixels.size(); ++i)
    most = std::max(most, std::abs(stored.pixels[i] - picture.pixels[i]));
  CHECK(most <= 1);
}
