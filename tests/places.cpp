#include "places.hpp"

const std::filesystem::path& source_root() {
  static const std::filesystem::path path = RULEGRAD_SOURCE_ROOT;
  return path;
}

const std::string& train_program() {
  static const std::string path = RULEGRAD_TRAIN;
  return path;
}

const std::string& rulegrad_command() {
  static const std::string path = RULEGRAD_COMMAND;
  return path;
}
