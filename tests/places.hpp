#pragma once

#include <filesystem>
#include <string>

/// Where this build lies. One translation unit knows, so that compiled tests do not depend on the folder they
/// are built in.
[[nodiscard]] const std::filesystem::path& source_root();
/// The built command.
[[nodiscard]] const std::string& rulegrad_command();
/// The built example program that trains the demo networks.
[[nodiscard]] const std::string& train_program();
