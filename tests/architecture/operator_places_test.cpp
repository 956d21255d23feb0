// An elementwise function stands in three places: its schema (derivative, bounds, batch, decisions, classes
// that rules of LRP ask for), its kernel, and its ONNX form. No list anywhere names it beside them.
#include <doctest/doctest.h>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <string>

#include "places.hpp"

namespace {

std::set<std::string> files_naming(const std::string& op) {
  std::set<std::string> result;
  for (const char* folder : {"src", "include"})
    for (const auto& entry : std::filesystem::recursive_directory_iterator(source_root() / folder)) {
      if (!entry.is_regular_file()) continue;
      std::ifstream in(entry.path());
      const std::string text{std::istreambuf_iterator<char>(in), {}};
      if (text.find('"' + op + '"') != std::string::npos)
        result.insert(std::filesystem::relative(entry.path(), source_root()).generic_string());
    }
  return result;
}

}  // namespace

TEST_CASE("an elementwise function is declared in three files") {
  for (const char* op : {"tan", "asin", "acos", "sinh", "cosh", "asinh", "acosh", "atanh"}) {
    INFO(op);
    CHECK(files_naming(op) == std::set<std::string>{"src/onnx/rows.cpp", "src/ops/elementwise.cpp",
                                                    "src/kernels/elementwise/unary.cpp"});
  }
  for (const char* op : {"mish", "softsign", "quick_gelu"}) {
    INFO(op);
    std::set<std::string> files = files_naming(op);
    files.erase("src/onnx/attention.cpp");  // Swish of ONNX is one with any factor
    CHECK(files == std::set<std::string>{"src/onnx/rows.cpp", "src/ops/activations.cpp",
                                         "src/kernels/elementwise/unary.cpp"});
  }
}
