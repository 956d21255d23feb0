// Rule files that include others.
#include <doctest/doctest.h>
#include <filesystem>
#include <fstream>
#include <unistd.h>

#include "rewrite/bench.hpp"

using namespace rulegrad;
using namespace rulegrad::testing;
namespace fs = std::filesystem;

namespace {

/// A directory of rule files that goes away with the test.
struct Files {
  fs::path directory = fs::temp_directory_path() / ("rulegrad_includes_" + std::to_string(::getpid()));
  Files() { fs::create_directories(directory / "sub"); }
  ~Files() { fs::remove_all(directory); }
  std::string write(const std::string& name, const std::string& text,
                    const std::string& version = "1") const {
    std::ofstream(directory / name) << "rulegrad " << version << "\n" << text;
    return (directory / name).string();
  }
  std::string message(const std::string& path) const {
    return error_of([&] {
      RuleLibrary library = RuleLibrary::builtin();
      library.add_file(path);
    });
  }
};

bool holds(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("a rule file includes files beside it and below, each once") {
  const Files files;
  files.write("sub/deep.rules", "op silu2(x): activation = x * sigmoid(x)\nfn double(v) = 2 * v\n");
  files.write("left.rules", "include \"sub/deep.rules\"\nrules left { grad(relu(x), r) => double(r) }\n");
  files.write("right.rules", "include \"sub/deep.rules\"\nrules right { grad(silu2(x), r) => 3 * r }\n");
  RuleLibrary library = RuleLibrary::builtin();
  library.add_file(
      files.write("top.rules",
                  "include \"left.rules\"\ninclude \"right.rules\"\nanalyzer top { use left  use right }\n"));
  Graph graph(DType::float64);
  const Expr x = graph.input("x", {DType::float64, Shape{B, 1}});
  // The operator of an included file is found in the graph.
  const Expr y = relu(x * sigmoid(x));
  CHECK(maps(library, "top", question_about(y, {x}), {{"x", Tensor({1, 1}, {1.0})}})[0].at(0) == 6);
}

TEST_CASE("what includes may not do is told with the chain of files") {
  const Files files;
  const std::string self = files.write("self.rules", "include \"self.rules\"\n");
  CHECK(holds(files.message(self), "includes itself\n  included from " + self));
  files.write("b.rules", "include \"c.rules\"\n");
  files.write("c.rules", "include \"a.rules\"\n");
  const std::string circle = files.message(files.write("a.rules", "include \"b.rules\"\n"));
  CHECK(holds(circle, "includes itself"));
  CHECK(holds(circle, "c.rules\n  included from "));
  CHECK(holds(files.message(files.write("up.rules", "include \"../x.rules\"\n")), "leaves the directory"));
  CHECK(holds(files.message(files.write("up2.rules", "include \"sub/../../x.rules\"\n")),
              "leaves the directory"));
  CHECK(holds(files.message(files.write("abs.rules", "include \"/etc/passwd\"\n")), "relative to the file"));
  CHECK(holds(files.message(files.write("twice.rules", "include \"b2.rules\"\ninclude \"b2.rules\"\n")),
              "b2.rules"));
  files.write("b2.rules", "");
  CHECK(holds(files.message(files.write("twice.rules", "include \"b2.rules\"\ninclude \"b2.rules\"\n")),
              "stands there twice"));
  const std::string missing = files.message(files.write("missing.rules", "include \"nowhere.rules\"\n"));
  CHECK(holds(missing, "nowhere.rules"));
  CHECK(holds(missing, "included from"));
  const fs::path outside =
      fs::temp_directory_path() / ("rulegrad_outside_" + std::to_string(::getpid()) + ".rules");
  std::ofstream(outside) << "rulegrad 1\n";
  fs::create_symlink(outside, files.directory / "link.rules");
  CHECK(holds(files.message(files.write("linked.rules", "include \"link.rules\"\n")),
              "a link that leads out of the directory"));
  fs::remove(outside);
  files.write("wrong.rules", "rules lrp.z { grad(relu(x), r) => r }\n");
  CHECK(holds(files.message(files.write("taken.rules", "include \"wrong.rules\"\n")), "included from"));
  RuleLibrary library;
  const std::string once = files.write("once.rules", "fn f(v) = v\n");
  library.add_file(once);
  CHECK(holds(error_of([&] { library.add_file(once); }), "name it once"));
  CHECK(holds(error_of([] { (void)library_with("include \"a.rules\"\n"); }), "needs a file to start from"));
}

TEST_CASE("a file that cannot be added whole leaves nothing behind, and can be added once it is mended") {
  const Files files;
  files.write("part.rules", "rules part { grad(relu(x), r) => r }\n");
  const std::string bad = files.write("whole.rules", "include \"part.rules\"\nanalyzer whole { use prat }\n");
  RuleLibrary library = RuleLibrary::builtin();
  const auto before = library.rule_set_names();
  CHECK_THROWS_AS(library.add_file(bad), Error);
  CHECK(library.rule_set_names() == before);
  library.add_file(
      files.write("whole.rules", "include \"part.rules\"\nanalyzer whole { use part  default gradient }\n"));
  CHECK(library.analyzer("whole").name == "whole");
}

TEST_CASE("a file of a newer version of the language is told apart from a wrong one") {
  const Files files;
  CHECK(holds(files.message(files.write("newer.rules", "", "2")),
              "this file is in version 2 of the rule language; this rulegrad reads version 1"));
}
