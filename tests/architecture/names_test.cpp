// One name, one type: two types of one qualified name link without a word, and each then runs the other's
// functions.
#include <doctest/doctest.h>
#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <string>
#include <vector>

#include "places.hpp"

namespace {

namespace fs = std::filesystem;

/// The types that a file defines outside of functions, classes and unnamed namespaces, by their qualified
/// names. Namespaces are opened and closed on lines of their own, as clang-format leaves them.
std::vector<std::string> types_of(const fs::path& file) {
  static const std::regex opened(R"(^(?:inline )?namespace(?: \[\[.*\]\])?(?: ([\w:]+))? \{$)"),
      closed(R"(^\}  // namespace.*)"),
      type(R"(^(?:struct|class|union|enum|enum class) (?:\[\[.*\]\] )?(\w+)(?: final)?(?: : .*)? \{.*)");
  std::vector<std::string> scopes, result;
  std::ifstream in(file);
  for (std::string line, before; std::getline(in, line); before = line) {
    std::smatch match;
    if (std::regex_match(line, match, opened))
      scopes.push_back(match[1].matched ? match[1].str() + "::" : std::string());
    else if (std::regex_match(line, closed))
      scopes.pop_back();
    else if (std::regex_match(line, match, type) && !before.starts_with("template")) {
      std::string name;
      bool unnamed = false;
      for (const std::string& scope : scopes) {
        unnamed = unnamed || scope.empty();
        name += scope;
      }
      if (!unnamed) result.push_back(name + match[1].str());
    }
  }
  CHECK(scopes.empty());
  return result;
}

}  // namespace

TEST_CASE("no two files define a type of the same qualified name") {
  std::map<std::string, fs::path> known;
  for (const char* folder : {"src", "include"})
    for (const auto& entry : fs::recursive_directory_iterator(source_root() / folder)) {
      if (entry.path().extension() != ".cpp" && entry.path().extension() != ".hpp") continue;
      INFO(entry.path().string());
      for (const std::string& name : types_of(entry.path())) {
        const auto [other, fresh] = known.emplace(name, entry.path());
        INFO(name, " is defined in ", other->second.string(),
             " too; call one of them something else, or put it into an unnamed namespace");
        CHECK(fresh);
      }
    }
  CHECK(known.size() > 200);
  CHECK(known.contains("rulegrad::Lifetime"));
}

TEST_CASE(
    "no number is read or written by the locale of the program, and no file is opened past the rules for "
    "files") {
  // A decimal comma would turn 0.01 into 0 without a word; a stream would wait for a pipe.
  const std::regex forbidden(
      R"(\b(std::(stod|stof|stold|stoi|stol|stoll|stoul|stoull|strtod|strtol|strtof|atof|atoi|ifstream|ofstream|to_string\(.*(double|float)|setlocale)|strtod|atof|sscanf|fscanf|fopen)\b)");
  const std::map<std::string, std::string> allowed{{"src/compile/memory_limit.cpp", "the kernel's own file"},
                                                   {"src/cli/verify.cpp", "a cache of its own"}};
  for (const char* folder : {"src", "include"})
    for (const auto& entry : fs::recursive_directory_iterator(source_root() / folder)) {
      if (entry.path().extension() != ".cpp" && entry.path().extension() != ".hpp") continue;
      const std::string path = fs::relative(entry.path(), source_root()).string();
      if (allowed.contains(path)) continue;
      std::ifstream in(entry.path());
      int number = 0;
      for (std::string line; std::getline(in, line);) {
        ++number;
        INFO(path, ":", number, ": ", line);
        CHECK_FALSE(std::regex_search(line.substr(0, line.find("//")), forbidden));
      }
    }
}
